"""Run tests with the packages of another environment behind the project's own.

``python -m tests.helpers.with_packages FOLDER TESTS...``: clients, and the tools where people label, have packages that
do not go with ours (they pin others); tests that find them have them judge what goes to them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def main(folder: Path, arguments: list[str]) -> int:
    """Run pytest and return its exit status; warnings of the other packages are no errors."""
    sys.path += map(str, folder.glob("lib/python3*/site-packages"))
    return pytest.main(["-W", "default", *arguments])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

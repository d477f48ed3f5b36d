"""All benchmarks, or those that are named: ``python -m tests.benchmarks [NAME ...]``."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path


def names() -> list[str]:
    """Return the benchmarks of this folder: the modules that have a ``main``."""
    found = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.name != "__main__"]
    return [name for name in found if hasattr(importlib.import_module(f"{__package__}.{name}"), "main")]


def main(chosen: list[str]) -> int:
    """Run each benchmark in a process of its own; return 1 where one fails."""
    unknown = set(chosen) - set(names())
    if unknown:
        print(f"expected some of {', '.join(names())}, got {', '.join(sorted(unknown))}")
        return 2
    failed = 0
    for name in chosen or names():
        failed |= subprocess.run([sys.executable, "-m", f"{__package__}.{name}"], check=False).returncode != 0
        print()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

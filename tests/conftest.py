"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _shared(variable: str, folder: str) -> Path:
    path = Path(os.environ.get(variable, ROOT.parent / "shared" / folder))
    if not path.is_dir():
        pytest.skip(f"needs the folder {folder!r}: set {variable} or put it at ../shared/{folder}")
    return path


@pytest.fixture(scope="session")
def oracles_dir() -> Path:
    """Folder of darknet's reference results and real weights."""
    return _shared("ORACLES_DIR", "oracles")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of labeled image sets."""
    return _shared("DATA_DIR", "data")

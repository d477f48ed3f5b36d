"""Fixtures shared by all tests, and the order in which processes take them."""

import os
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from yoloscope.models.cpu import available_cpus

ROOT = Path(__file__).resolve().parent.parent
TOGETHER = ("tests/e2e/", "tests/training/export/")
"""Folders whose files share what is slow: a service with the model that it pulled, small artifacts."""
LONGEST = (
    *TOGETHER,
    "tests/app/commands/test_import_darknet_kinds.py",
    "tests/parity/test_run.py",
    "tests/training/test_train",
    "tests/models/",
    "tests/test_documents.py",
    "tests/app/commands/",
)
"""Begin of the names of files that take longest: first come those that would keep one process busy at the end."""


def _process_of(nodeid: str) -> str:
    """Return what shares a process: a file, or a folder of ``TOGETHER``."""
    return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.split("::", 1)[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    config.option.loadscopereorder = False
    scheduler = LoadFileScheduling(config, log)
    scheduler._split_scope = _process_of
    return scheduler


def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than there are CPUs: tests wait for other processes in a third of the time."""
    return available_cpus() + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first, and leave the others as they are."""

    def place(item: pytest.Item) -> int:
        return next((i for i, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))

    items.sort(key=place)


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

"""Folders that data sets are unpacked into: locked while in use, and deleted at the end or after a kill."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

_WORK: Final = "work"
_LOCK: Final = ".lock"


@contextmanager
def work_folder(audits_dir: Path, name: str) -> Iterator[Path]:
    """Give a job or an upload a folder of its own, locked while it is in use and deleted at the end."""
    work = audits_dir / _WORK
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name[:8]}-", dir=work))
    try:
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unnamed_file(folder: Path) -> BinaryIO:
    """Return a file without a name, which is gone when it is closed or the process ends."""
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder))


def sweep(audits_dir: Path) -> None:
    """Delete the folders of processes that were killed: those that nobody holds the lock of."""
    for folder in (audits_dir / _WORK).glob("*-*"):
        try:
            with (folder / _LOCK).open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # in use, or just made
            continue


def without_folder(text: str, folder: Path) -> str:
    """Return a text without the folder that a data set was unpacked into."""
    return text.replace(f"{folder}/", "")

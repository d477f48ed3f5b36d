"""Scratch folders and files. A folder is locked by the process that fills it, and removed once that is gone.

A name made of a process id would not do: ids are those of one container, and folders are shared by several.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Final, cast
from uuid import uuid4

if sys.platform != "win32":
    import fcntl

UNFINISHED: Final = ".unfinished"
"""The folder below a parent that holds its scratch folders, there only while one is."""
LOCK: Final = ".lock"
_WITHOUT_LOCK_S: Final = 3600.0
"""Age of a scratch folder without a file to lock at which it is given up."""
_ATTEMPTS: Final = 100


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give an empty folder below ``parent``, made where it is lacking; removed with its content when the block ends.

    On one disk with ``parent``, so that what is finished can be renamed into its place. What killed processes left is
    removed. Raises OSError where nothing can be written.
    """
    remove_abandoned(parent)
    folder, lock = _new(parent / UNFINISHED)
    try:
        with lock:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another one is there
            folder.parent.rmdir()


def remove_abandoned(parent: Path) -> None:
    """Remove the scratch folders below ``parent`` whose processes are gone."""
    unfinished = parent / UNFINISHED
    with suppress(OSError):
        for folder in unfinished.iterdir():
            _remove_if_abandoned(folder)
        unfinished.rmdir()


def unnamed_file(folder: Path) -> BinaryIO:
    """Return a file without a name, which is gone when it is closed or the process ends."""
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder))


def _new(unfinished: Path) -> tuple[Path, IO[str]]:
    """Return a new folder and its lock; again where others, who tidy up, were faster."""
    failure: OSError = BlockingIOError(f"{unfinished}: others remove what is made there")
    for _ in range(_ATTEMPTS):
        folder = unfinished / uuid4().hex[:12]
        try:
            folder.mkdir(parents=True)
            lock = (folder / LOCK).open("w")
        except (FileNotFoundError, FileExistsError) as error:
            failure = error
            continue
        if _take(lock) is not False and (folder / LOCK).exists():
            return folder, lock
        lock.close()
    raise failure


def _remove_if_abandoned(folder: Path) -> None:
    try:
        with (folder / LOCK).open("r+") as lock:
            if _take(lock):
                shutil.rmtree(folder, ignore_errors=True)
    except FileNotFoundError:
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _WITHOUT_LOCK_S:
                shutil.rmtree(folder, ignore_errors=True)


def _take(lock: IO[str]) -> bool | None:
    """Take the lock of a file; return False where another has it, None where the system has no such locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True

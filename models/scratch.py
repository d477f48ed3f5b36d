"""Scratch folders and files. A folder is locked by the process that fills it, and removed once that is gone.

A name made of a process id would not do: ids are those of one container, and folders are shared by several.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Final, cast
from uuid import uuid4

from yoloscope.models.locks import take_lock

UNFINISHED: Final = ".unfinished"
"""The folder below a parent that holds its scratch folders, there only while one is."""
LOCK: Final = ".lock"
_NAMES: Final = (UNFINISHED, *(f"{UNFINISHED}-{number}" for number in range(2, 10)))
"""Taken is the first that can be written: users who share a parent may not write into the folders of each other."""
_WITHOUT_LOCK_S: Final = 3600.0
"""Age of a scratch folder without a file to lock at which it is given up."""
_WITHOUT_LOCKS_S: Final = 7 * 24 * 3600.0
"""The same where the file system has no locks: nobody knows who is at work."""
_ATTEMPTS: Final = 100


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give an empty folder below ``parent``, made where it is lacking; removed with its content when the block ends.

    On one disk with ``parent``, so that what is finished can be renamed into its place. What killed processes left is
    removed. Raises OSError where nothing can be written.
    """
    remove_abandoned(parent)
    folder, lock = _new(parent)
    try:
        with lock:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another one is there
            folder.parent.rmdir()


def remove_abandoned(parent: Path) -> None:
    """Remove the scratch folders below ``parent`` whose processes are gone, but for what belongs to other users."""
    for name in _NAMES:
        with suppress(OSError):
            for folder in (parent / name).iterdir():
                _remove_if_abandoned(folder)
            (parent / name).rmdir()


def is_scratch(path: Path) -> bool:
    """Return whether a path leads through a folder of scratch folders: what lies there is nobody else's."""
    return not set(_NAMES).isdisjoint(path.parts)


def unnamed_file(folder: Path) -> BinaryIO:
    """Return a file without a name, which is gone when it is closed or the process ends."""
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder))


def _new(parent: Path) -> tuple[Path, IO[str]]:
    """Return a new folder and its lock."""
    for name in _NAMES[:-1]:
        try:
            return _new_in(parent / name)
        except PermissionError:
            if not (parent / name).exists():  # the parent itself cannot be written
                raise
    return _new_in(parent / _NAMES[-1])


def _new_in(unfinished: Path) -> tuple[Path, IO[str]]:
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
        if take_lock(lock) is not False and (folder / LOCK).exists():
            return folder, lock
        lock.close()
    raise failure


def _remove_if_abandoned(folder: Path) -> None:
    with suppress(OSError):
        try:
            with (folder / LOCK).open("r+") as lock:
                taken = take_lock(lock)
                if taken or (taken is None and _age_s(folder / LOCK) > _WITHOUT_LOCKS_S):
                    shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:
            if _age_s(folder) > _WITHOUT_LOCK_S:
                shutil.rmtree(folder, ignore_errors=True)


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime

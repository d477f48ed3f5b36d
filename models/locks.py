"""Locks of files, which end with the process that holds them, whatever way it ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from yoloscope.models.errors import ConfigError

if sys.platform != "win32":
    import fcntl

_POLL_S: Final = 0.2


@contextmanager
def hold_lock(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold the lock of a file, which is made and removed again; give False where another process holds it.

    With ``on_wait``, which is called once, that one is waited for. Where there are no locks, as on some network file
    systems, or the file cannot be written, all get True.
    """
    held, file = _locked(path, on_wait)
    try:
        yield held
    finally:
        if file is not None:
            with suppress(OSError):
                path.unlink()
            release_lock(file)


@contextmanager
def alone_in(folder: Path, work: str) -> Iterator[None]:
    """Keep other processes with this work out of a folder, which is made; raise ConfigError where one is there.

    Folders that were made and are empty in the end are removed.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    with suppress(OSError):  # who writes there tells
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with hold_lock(folder / ".lock") as held:
            if not held:
                raise ConfigError(f"{folder}: another {work} is at work there: wait, or choose another --output")
            yield
    finally:
        with suppress(OSError):
            for place in made:
                place.rmdir()


def take_lock(file: IO[str]) -> bool | None:
    """Take the lock of a file; return False where another has it, None where the system has no such locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def release_lock(file: IO[str]) -> None:
    """Give the lock of a file back, also where a process that was forked has it open, and close it."""
    if sys.platform != "win32":
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
    file.close()


def _locked(path: Path, on_wait: Callable[[], None] | None) -> tuple[bool, IO[str] | None]:
    """Return whether nobody else is at work, as far as one can know, and the file that is locked now."""
    waits = False
    while True:
        try:
            file = _open(path)
        except OSError:
            return True, None
        taken = take_lock(file)
        if taken is None or (taken and _is_at(file, path)):
            return True, file
        file.close()
        if taken:  # removed by the one before
            continue
        if on_wait is None:
            return False, None
        if not waits:
            on_wait()
        waits = True
        time.sleep(_POLL_S)


def _open(path: Path) -> IO[str]:
    """Open a file to lock it, that of another user too; what network file systems lock must be open for writing."""
    try:
        return path.open("a")
    except PermissionError:
        return path.open()


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False

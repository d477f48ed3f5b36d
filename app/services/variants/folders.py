"""Folders of variants: filled whole or not at all, marked at each start that takes them, and removed when none does."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

from yoloscope.app.services.variants.detectors import DETECTION, INT8, NETWORK
from yoloscope.app.services.variants.report import REPORT, read_report
from yoloscope.models.errors import OutputError

if sys.platform != "win32":
    import fcntl

KEPT_S: Final = 30 * 24 * 3600.0
"""How long variants stay that no start of a service takes."""
LOCK: Final = "lock"
"""Held by the process that fills a folder; the system lets go of it when that dies, in whatever container."""
_WITHOUT_LOCK_S: Final = 3600.0
"""Age of an unfinished folder without a lock, as earlier versions left them, at which it is given up."""
_NAME: Final = r"[0-9a-f]{12}-[0-9a-f]{12}"
_FILES: Final = {REPORT, INT8, DETECTION, *NETWORK.values()}


def mark_used(folder: Path) -> None:
    """Note that a service takes these variants, where the folder can be written."""
    with suppress(OSError):
        os.utime(folder / REPORT)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write to, which takes the place of ``folder`` when the block ends.

    What killed processes left, and variants that nothing has taken for long, are removed; whatever else lies beside
    stays. Raises OutputError where the disk is full or cannot be written.
    """
    scratch = folder.with_name(f".{folder.name}.{uuid4().hex[:12]}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _tidy_up(folder.parent)
        scratch.mkdir()
        with (scratch / LOCK).open("w") as lock:
            _take(lock)
            yield scratch
            (scratch / LOCK).unlink()
            shutil.rmtree(folder, ignore_errors=True)
            scratch.rename(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _tidy_up(parent: Path) -> None:
    for folder in parent.iterdir():
        unfinished = re.fullmatch(rf"\.{_NAME}\.[0-9a-f]+", folder.name)
        finished = re.fullmatch(_NAME, folder.name)
        if (unfinished and _is_abandoned(folder)) or (finished and _is_unused(folder)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(scratch: Path) -> bool:
    try:
        with (scratch / LOCK).open("r+") as lock:
            return _take(lock)
    except OSError:
        return _age_s(scratch) > _WITHOUT_LOCK_S


def _is_unused(folder: Path) -> bool:
    """Return whether a folder holds variants alone, and no start has taken them for ``KEPT_S``."""
    report = read_report(folder)
    return (
        report is not None
        and folder.name.startswith(report.sha256[:12])
        and {entry.name for entry in folder.iterdir()} <= _FILES
        and _age_s(folder / REPORT) > KEPT_S
    )


def _take(lock: IO[str]) -> bool:
    """Take the lock of a file and return whether nobody else had it."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0

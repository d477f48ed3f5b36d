"""Folders of variants: filled by one process at a time, whole or not at all.

They are marked at each start that takes them, and removed when none does.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

from yoloscope.app.services.variants.detectors import DETECTION, INT8, NETWORK
from yoloscope.app.services.variants.report import REPORT, read_report
from yoloscope.models.errors import OutputError
from yoloscope.models.locks import hold_lock
from yoloscope.models.scratch import scratch_folder

KEPT_S: Final = 30 * 24 * 3600.0
"""How long variants stay that no start of a service takes."""
_NAME: Final = r"[0-9a-f]{12}-[0-9a-f]{12}"
_TAKEN: Final = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_FILES: Final = {REPORT, INT8, DETECTION, *NETWORK.values()}


def mark_used(folder: Path) -> None:
    """Note that a service takes these variants, where the folder can be written."""
    with suppress(OSError):
        os.utime(folder / REPORT)


@contextmanager
def alone_with(folder: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Wait until no other process makes these variants; ``on_wait`` is called where one does.

    Replicas that share a models folder and start at once need the same ones.
    """
    with suppress(OSError):  # ``new_folder`` tells
        folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder.parent / f".{folder.name}.lock", on_wait):
        yield


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write to, which becomes ``folder`` when the block ends, unless there are variants by then.

    What killed processes left, and variants that nothing has taken for long, are removed; whatever else lies beside
    stays. Raises OutputError where the disk is full or cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _tidy_up(folder.parent)
        with scratch_folder(folder.parent) as scratch:
            made = scratch / folder.name
            made.mkdir()
            yield made
            _put(made, folder, scratch)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error


def _put(made: Path, folder: Path, scratch: Path) -> None:
    """Give a new folder its name. Variants that are there stay, for services read them; what else is there goes."""
    for attempt in count():
        try:
            made.rename(folder)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            return
        if read_report(folder) is not None:
            return
        with suppress(FileNotFoundError):  # another process was faster
            folder.rename(scratch / f"former-{attempt}")


def _tidy_up(parent: Path) -> None:
    for folder in parent.iterdir():
        with suppress(OSError):  # another process tidies up too
            if re.fullmatch(_NAME, folder.name) and _is_unused(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_unused(folder: Path) -> bool:
    """Return whether a folder holds variants alone, and no start has taken them for ``KEPT_S``."""
    report = read_report(folder)
    return (
        report is not None
        and folder.name.startswith(report.sha256[:12])
        and {entry.name for entry in folder.iterdir()} <= _FILES
        and _age_s(folder / REPORT) > KEPT_S
    )


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0

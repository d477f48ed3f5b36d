"""Folders of variants: filled whole or not at all, marked at each start that takes them, and removed when none does."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from yoloscope.app.services.variants.detectors import DETECTION, INT8, NETWORK
from yoloscope.app.services.variants.report import REPORT, read_report
from yoloscope.models.errors import OutputError
from yoloscope.models.scratch import scratch_folder

KEPT_S: Final = 30 * 24 * 3600.0
"""How long variants stay that no start of a service takes."""
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
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _tidy_up(folder.parent)
        with scratch_folder(folder.parent) as scratch:
            made = scratch / folder.name
            made.mkdir()
            yield made
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error


def _tidy_up(parent: Path) -> None:
    for folder in parent.iterdir():
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

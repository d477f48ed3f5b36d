"""Keeping a data set that somebody else wrote from naming files outside its folder."""

from __future__ import annotations

from pathlib import Path

from models.errors import DatasetError


def confined(path: Path, within: Path | None) -> Path:
    """Return the path; raise DatasetError if it leads, links followed, out of the folder ``within``."""
    if within is not None and not path.resolve().is_relative_to(within.resolve()):
        raise DatasetError(f"expected files inside the data set alone, got {path}")
    return path

"""The YOLO label file of a picture, and label files that are no picture's.

It is where darknet looks: under ``labels`` instead of ``images`` or ``JPEGImages``, else beside the picture (darknet
src/utils.c, ``replace_image_to_label``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Final

from training.data.annotations.values import decimal_of_text, integer_of_text
from training.data.datasets.structures import DatasetProblem

_COLUMNS: Final = 5
_HEAD_CHARACTERS: Final = 4096


def label_file(picture: Path) -> Path:
    """Return the label file of a picture: the first that exists, else where it should be."""
    candidates = list(_label_candidates(picture))
    return next((path for path in candidates if path.is_file()), candidates[0])


def find_unused(folders: Iterable[Path], used: Set[Path]) -> list[DatasetProblem]:
    """Return a problem for each label file of the pictures below ``folders`` that is not among the ``used`` ones.

    What does not begin like a label (lists of pictures or names, notes) is no label file, nor is an empty one.
    """
    roots = dict.fromkeys(path.parent for folder in folders for path in _label_candidates(folder / "any"))
    paths = sorted({path for root in roots for path in root.rglob("*.txt")} - used)
    detail = "expected a picture of that name in a format that is read, got none"
    return [DatasetProblem("unused_labels", path, "", detail) for path in paths if _begins_like_labels(path)]


def _label_candidates(picture: Path) -> Iterator[Path]:
    parts = picture.parts
    for folder in ("images", "JPEGImages"):
        if folder in parts[:-1]:
            position = len(parts) - 2 - parts[-2::-1].index(folder)
            yield Path(*parts[:position], "labels", *parts[position + 1 :]).with_suffix(".txt")
    yield picture.with_suffix(".txt")


def _begins_like_labels(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            fields = next((line.split() for line in file.read(_HEAD_CHARACTERS).splitlines() if line.strip()), [])
    except OSError:
        return False
    if len(fields) < _COLUMNS or integer_of_text(fields[0]) is None:
        return False
    return all(decimal_of_text(field) is not None for field in fields[1:_COLUMNS])

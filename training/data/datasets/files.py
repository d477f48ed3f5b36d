"""The YOLO label file of an image, and label files that are no image's.

It is where darknet looks: under ``labels`` instead of ``images`` or ``JPEGImages``, else beside the image (darknet
src/utils.c, ``replace_image_to_label``).

Keeping a data set that somebody else wrote from naming files outside its folder.

Files that list class names, one a line.

Names of splits as people write them: ``val``, ``valid``, ``validation`` and ``val2017`` are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Final

from yoloscope.models.errors import DatasetError
from yoloscope.training.data.annotations.parsing import decimal_of_text, integer_of_text
from yoloscope.training.data.datasets.dataset import DatasetProblem


def confined(path: Path, within: Path | None) -> Path:
    """Return the path; raise DatasetError if it leads, links followed, out of the folder ``within``."""
    if within is not None and not path.resolve().is_relative_to(within.resolve()):
        raise DatasetError(f"expected files inside the data set alone, got {path}")
    return path


def read_names(path: Path) -> tuple[str, ...]:
    """Return the names of a names file; blank lines at its end do not count. Raises DatasetError."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"expected a text file of class names at {path}, got: {error}") from error
    return checked_names([line.strip() for line in text.rstrip().splitlines()], path)


def checked_names(names: list[str], source: Path) -> tuple[str, ...]:
    """Return the names if there are any and each is there once; raise DatasetError otherwise."""
    if not names or "" in names:
        raise DatasetError(f"expected class names in {source}, got {'an empty one' if names else 'none'}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatasetError(f"expected each class name once in {source}, got {', '.join(twice)} more than once")
    return tuple(names)


def find_names_file(folder: Path) -> Path | None:
    """Return the file of class names that a labelling tool left in a folder, in ``labels`` or in ``data``."""
    for place in (folder, folder / "labels", folder / "data"):
        listed = place / "classes.txt"
        if listed.is_file():
            return listed
        named = sorted(place.glob("*.names"))
        if len(named) == 1:
            return named[0]
    return None


_ALIASES = {"valid": "val", "validation": "val", "dev": "val", "training": "train", "testing": "test"}

_USUAL = ("train", "val", "test")


def choose_split(split: str, available: Iterable[str], source: Path) -> str:
    """Return the one of the ``available`` names that ``split`` means; raise DatasetError listing them if none does.

    The exact name wins; otherwise case, a year at the end and the usual synonyms do not count.
    """
    names = sorted(set(available))
    found = [name for name in names if name == split] or [name for name in names if _plain(name) == _plain(split)]
    if len(found) != 1:
        got = ", ".join(found or names) or "none"
        raise DatasetError(f"expected one split {split!r} in {source}, got {got}")
    return found[0]


def same_split(split: str, other: str) -> bool:
    """Tell whether two names mean one split."""
    return split == other or _plain(split) == _plain(other)


def is_usual(name: str) -> bool:
    """Tell whether a name is one that splits usually have: a spelling of train, val or test."""
    return _plain(name) in _USUAL


def _plain(name: str) -> str:
    bare = name.casefold().rstrip("0123456789").rstrip("_-") or name
    return _ALIASES.get(bare, bare)


_COLUMNS: Final = 5
_HEAD_CHARACTERS: Final = 4096


def label_file(image: Path) -> Path:
    """Return the label file of an image: the first that exists, else where it should be."""
    candidates = list(_label_candidates(image))
    return next((path for path in candidates if path.is_file()), candidates[0])


def find_unused(folders: Iterable[Path], used: Set[Path]) -> list[DatasetProblem]:
    """Return a problem for each label file of the images below ``folders`` that is not among the ``used`` ones.

    What does not begin like a label (lists of images or names, notes) is no label file, nor is an empty one.
    """
    roots = dict.fromkeys(path.parent for folder in folders for path in _label_candidates(folder / "any"))
    paths = sorted({path for root in roots for path in root.rglob("*.txt")} - used)
    detail = "expected an image of that name in a format that is read, got none"
    return [DatasetProblem("unused_labels", path, "", detail) for path in paths if _begins_like_labels(path)]


def _label_candidates(image: Path) -> Iterator[Path]:
    parts = image.parts
    for folder in ("images", "JPEGImages"):
        if folder in parts[:-1]:
            position = len(parts) - 2 - parts[-2::-1].index(folder)
            yield Path(*parts[:position], "labels", *parts[position + 1 :]).with_suffix(".txt")
    yield image.with_suffix(".txt")


def _begins_like_labels(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            fields = next((line.split() for line in file.read(_HEAD_CHARACTERS).splitlines() if line.strip()), [])
    except OSError:
        return False
    if len(fields) < _COLUMNS or integer_of_text(fields[0]) is None:
        return False
    return all(decimal_of_text(field) is not None for field in fields[1:_COLUMNS])

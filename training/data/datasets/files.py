"""Names of splits and of classes in the folders of a data set, and its text files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from yoloscope.models.classes import check_class_names, decode_text, read_class_names
from yoloscope.models.errors import ConfigError, DatasetError

_NAMES_FILES: Final = ("classes.txt", "*.names", "_darknet.labels", "predefined_classes.txt")
_NAMES_PATTERNS: Final = (
    *(f"{folder}/{name}" for folder in (".", "labels", "data") for name in _NAMES_FILES),
    "*/classes.txt",
    "*/_darknet.labels",
)
_ALIASES: Final = {"valid": "val", "validation": "val", "dev": "val", "training": "train", "testing": "test"}
_USUAL: Final = ("train", "val", "test")


def read_text(path: Path, expected: str) -> str:
    """Return the text of a file in UTF-8, or UTF-16 with a mark; raise DatasetError naming what was ``expected``."""
    try:
        return decode_text(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"expected {expected} at {path}, got: {error}") from error


def read_list(path: Path) -> list[str]:
    """Return the lines of a list file that are not blank, without the spaces around them; raises DatasetError."""
    lines = (line.strip() for line in read_text(path, "a list of files").splitlines())
    return [line for line in lines if line]


def read_names(path: Path) -> tuple[str, ...]:
    """Return the class names of a text file; raises DatasetError where ``read_class_names`` refuses it."""
    try:
        return read_class_names(path)
    except ConfigError as error:
        raise DatasetError(str(error)) from error


def checked_names(names: Sequence[str], source: Path) -> tuple[str, ...]:
    """Return the class names if there are any and each is there once; raise DatasetError otherwise."""
    try:
        return check_class_names(names, source)
    except ConfigError as error:
        raise DatasetError(str(error)) from error


def list_names_files(folder: Path) -> list[Path]:
    """Return the files of class names in a folder itself or its ``data``, those of the most usual name alone."""
    for place in (folder, folder / "data"):
        for name in _NAMES_FILES:
            found = sorted(path for path in place.glob(name) if path.is_file())
            if found:
                return found
    return []


def find_names_file(folder: Path) -> Path | None:
    """Return the file of class names that a labeling tool left in a folder or one inside it, the nearest first.

    Several that differ count as none.
    """
    for pattern in _NAMES_PATTERNS:
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if len({path.read_bytes() for path in found}) == 1:
            return found[0]
    return None


def choose_split(split: str, available: Iterable[str], source: Path) -> str:
    """Return the one of the ``available`` names that ``split`` means; raise DatasetError listing them if none does.

    The exact name wins; otherwise case, a year at the end and synonyms (``valid``, ``validation``) do not count.
    """
    names = sorted(set(available))
    found = [name for name in names if name == split] or [name for name in names if same_split(name, split)]
    if len(found) == 1:
        return found[0]
    if not names:
        raise DatasetError(f"expected one split {split!r} in {source}, got none; name no split to take all of it")
    raise DatasetError(f"expected one split {split!r} in {source}, got {', '.join(found or names)}")


def same_split(split: str, other: str) -> bool:
    """Return whether two names mean one split."""
    return split == other or plain_split(split) == plain_split(other)


def is_usual(name: str) -> bool:
    """Return whether a name is one that splits usually have: a spelling of train, val or test."""
    return plain_split(name) in _USUAL


def split_of(parts: Iterable[str]) -> str | None:
    """Return the first component of a path that is a usual name of a split."""
    return next((part for part in parts if is_usual(part)), None)


def splits_differ(parts: Iterable[str], others: Iterable[str]) -> bool:
    """Return whether two paths name two different splits."""
    one, other = split_of(parts), split_of(others)
    return one is not None and other is not None and not same_split(one, other)


def plain_split(name: str) -> str:
    """Return ``train``, ``val`` or ``test`` for a spelling of it, else the name in lower case without its year."""
    bare = name.casefold().rstrip("0123456789").rstrip("_-") or name
    return _ALIASES.get(bare, bare)

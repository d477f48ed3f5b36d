"""Names of splits as people write them: ``val``, ``valid``, ``validation`` and ``val2017`` are one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from models.errors import DatasetError

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

"""Files that list class names, one a line."""

from __future__ import annotations

from pathlib import Path

from models.errors import DatasetError


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

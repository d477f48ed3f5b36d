"""The COCO files of a data set: which JSON files they are, and which of them is a split's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from models.errors import DatasetError
from training.data.datasets.confinement import confined
from training.data.datasets.splits import choose_split, is_usual, same_split

_BESIDE_PICTURES: Final = "_annotations.coco.json"
_HEAD_BYTES: Final = 65_536
_KEYS: Final = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')


def find_descriptions(folder: Path) -> tuple[Path, ...]:
    """Return the COCO instance files of a data set: in the folder, in ``annotations``, or one in each split's folder.

    Where there are files called ``instances_*``, others (captions, key points) do not count.
    """
    patterns = ("*.json", "annotations/*.json", f"*/{_BESIDE_PICTURES}")
    return _instances(path for pattern in patterns for path in folder.glob(pattern))


def choose_description(paths: tuple[Path, ...], split: str | None, folder: Path) -> Path:
    """Return the file of a split; raise DatasetError if none or several could be meant."""
    by_name = {split_name(path): path for path in paths}
    if split is not None:
        return by_name[choose_split(split, by_name, folder)]
    if len(paths) > 1:
        raise DatasetError(f"expected the name of a split of {folder}: {', '.join(sorted(by_name))}; got none")
    return paths[0]


def file_of_split(path: Path, split: str | None, within: Path | None = None) -> Path:
    """Return the file that is meant by a named file and a split: itself, or the one beside it that is called so.

    A file whose name tells no split (``labels.json``) is ``train``. Raises DatasetError listing the splits there are.
    """
    own = split_name(path)
    if split is None or split == own:
        return path
    by_name = {split_name(other): other for other in (*_beside(path), path)}
    stands_for_it = same_split(split, own) or (not is_usual(own) and same_split(split, "train"))
    if stands_for_it and split not in by_name:
        return path
    try:
        chosen = choose_split(split, by_name, path)
    except DatasetError as error:
        raise DatasetError(f"{error}; name no split to take the whole file") from error
    return confined(by_name[chosen], within)


def split_name(path: Path) -> str:
    """Return the split that a file's name tells: ``val2017`` of ``instances_val2017.json``."""
    if path.name == _BESIDE_PICTURES:
        return path.absolute().parent.name
    return path.stem.removeprefix("instances_")


def _beside(path: Path) -> tuple[Path, ...]:
    if path.name == _BESIDE_PICTURES:
        return _instances(path.absolute().parent.parent.glob(f"*/{_BESIDE_PICTURES}"))
    return _instances(path.parent.glob("*.json"))


def _instances(places: Iterable[Path]) -> tuple[Path, ...]:
    found = sorted(path for path in places if _looks_like_coco(path))
    return tuple([path for path in found if path.stem.startswith("instances")] or found)


def _looks_like_coco(path: Path) -> bool:
    """Judge by the file's first and last bytes, as such files are large: by two of the three lists, if all is seen."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            seen = set(_KEYS.findall(file.read(_HEAD_BYTES)))
            file.seek(max(0, size - _HEAD_BYTES))
            seen |= set(_KEYS.findall(file.read()))
    except OSError:
        return False
    return len(seen) >= (2 if size <= 2 * _HEAD_BYTES else 1)

"""Match images with their label files: by folder and name, as darknet does, or by name in folders of any name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Final

from yoloscope.models.errors import LabelError
from yoloscope.training.data.annotations.parsing import decimal_of_text, integer_of_text, label_text
from yoloscope.training.data.datasets.dataset import DatasetProblem
from yoloscope.training.data.datasets.files import plain_split, splits_differ
from yoloscope.training.data.datasets.paths import find_files

_COLUMNS: Final = 5
_HEAD_BYTES: Final = 4096
_ROLES: Final = frozenset(
    [
        "image",
        "images",
        "img",
        "imgs",
        "jpegimages",
        "picture",
        "pictures",
        "photo",
        "photos",
        "jpg",
        "jpegs",
        "png",
        "frames",
        "label",
        "labels",
        "annotation",
        "annotations",
        "annots",
        "annot",
        "anns",
        "ann",
        "xml",
        "xmls",
        "txt",
        "bbox",
        "bboxes",
        "boxes",
        "yolo",
        "voc",
        "pascal",
    ]
)
"""Names of folders by the kind of their files, which are not part of a file's place."""


class NameIndex:
    """Files of a data set, found by the place and name of another file that belongs to them.

    Two files belong together that have one stem and one path but for folders that name their kind (``images``,
    ``annots``); or that alone have this stem.
    """

    def __init__(self, files: Iterable[Path], folder: Path) -> None:
        self._folder = folder
        self._by_place: dict[tuple[str, ...], Path] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for path in files:
            self._by_place.setdefault(self._place(path), path)
            self._by_stem.setdefault(path.stem, []).append(path)

    def find(self, path: Path) -> Path | None:
        """Return the file that belongs to ``path``, or None where there is none or several could be."""
        found = self._by_place.get(self._place(path))
        if found is not None:
            return found
        same_stem = self._by_stem.get(path.stem, [])
        if len(same_stem) != 1 or splits_differ(self._parts(path), self._parts(same_stem[0])):
            return None
        return same_stem[0]

    def _parts(self, path: Path) -> Sequence[str]:
        return path.relative_to(self._folder).parts[:-1] if path.is_relative_to(self._folder) else path.parts[:-1]

    def _place(self, path: Path) -> tuple[str, ...]:
        return (*(plain_split(part) for part in self._parts(path) if part.casefold() not in _ROLES), path.stem)


def label_file(image: Path, index: NameIndex | None = None) -> Path:
    """Return the YOLO label file of an image: the first that exists, else where it should be.

    It is where darknet looks: under ``labels`` instead of ``images`` or ``JPEGImages``, else beside the image (darknet
    src/utils.c, ``replace_image_to_label``); or else the one that ``index`` finds.
    """
    candidates = list(_label_candidates(image))
    found = next((path for path in candidates if path.is_file()), None)
    if found is None and index is not None:
        elsewhere = index.find(image)
        found = elsewhere if elsewhere is not None and begins_like_labels(elsewhere) else None
    return found or candidates[0]


def find_unused(folders: Iterable[Path], used: Set[Path], label_folders: Iterable[Path] = ()) -> list[DatasetProblem]:
    """Return a problem for each label file of the images below ``folders`` that is not among the ``used`` ones.

    ``label_folders`` are looked through as well. Files that do not begin like labels (lists of images or names, notes)
    do not count, nor do empty ones.
    """
    roots = {path.parent for folder in folders for path in _label_candidates(folder / "any")} | {*label_folders}
    paths = sorted({path for root in roots for path in find_files(root, (".txt",))} - used)
    detail = "expected an image of that name in a format that is read, got none"
    return [DatasetProblem("unused_labels", path, "", detail) for path in paths if begins_like_labels(path)]


def _label_candidates(image: Path) -> Iterator[Path]:
    parts = image.parts
    for folder in ("images", "JPEGImages"):
        if folder in parts[:-1]:
            position = len(parts) - 2 - parts[-2::-1].index(folder)
            yield Path(*parts[:position], "labels", *parts[position + 1 :]).with_suffix(".txt")
    yield image.with_suffix(".txt")


def begins_like_labels(path: Path) -> bool:
    """Return whether the first line of a text file is one of YOLO labels."""
    try:
        with path.open("rb") as file:
            text = label_text(file.read(_HEAD_BYTES))
    except (OSError, LabelError):
        return False
    fields = next((line.split() for line in text.splitlines() if line.strip()), [])
    if len(fields) < _COLUMNS or integer_of_text(fields[0]) is None:
        return False
    return all(decimal_of_text(field) is not None for field in fields[1:_COLUMNS])

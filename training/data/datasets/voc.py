"""Pascal VOC data sets: XML files and images in folders of any name, splits as lists or as folders.

VOC's own layout is ``Annotations/*.xml``, ``JPEGImages`` and ``ImageSets/Main/<split>.txt``; as common are
``annotations`` or ``annots`` beside ``images``, and XML beside the images, in one folder or one for each split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from pathlib import Path, PureWindowsPath
from typing import Final

from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import DatasetError, LabelError
from yoloscope.models.images import SUFFIXES
from yoloscope.training.data.annotations.parsing import parse_xml
from yoloscope.training.data.datasets.dataset import DetectionDataset
from yoloscope.training.data.datasets.files import (
    checked_names,
    choose_split,
    find_names_file,
    is_usual,
    read_list,
    read_names,
    split_of,
)
from yoloscope.training.data.datasets.pairing import NameIndex
from yoloscope.training.data.datasets.paths import ensure_within, find_files, find_images
from yoloscope.training.data.datasets.reading import DEFAULT_OPTIONS, ReadOptions, read_pairs

_FLAGS: Final = ("1", "0", "-1")
_LISTS: Final = ("ImageSets/Main", "ImageSets", ".")
_HEAD_BYTES: Final = 2048
_ROOT: Final = re.compile(rb"<annotation[\s>/]")


def find_voc_files(folder: Path) -> tuple[Path, ...]:
    """Return the XML files of every folder below a folder in which one is a VOC annotation (root ``annotation``)."""
    found = find_files(folder, (".xml",))
    places = {path.parent for path in found if _is_annotation(path)}
    return tuple(path for path in found if path.parent in places)


def voc_splits(folder: Path, annotations: Sequence[Path]) -> tuple[str, ...]:
    """Return the names of the splits of a VOC data set: its lists, or else its folders called so."""
    return tuple(_lists(folder, annotations)) or tuple(_split_folders(folder, annotations))


def read_voc_folder(
    folder: Path, annotations: Sequence[Path], split: str | None = None, options: ReadOptions = DEFAULT_OPTIONS
) -> DetectionDataset:
    """Read the labels of one split, or of every annotation file where ``split`` is None.

    Classes are those of a names file in the folder, else all that any annotation of the whole folder names, sorted:
    their order does not depend on the split. Raises DatasetError.
    """
    listed = find_names_file(folder)
    names = read_names(listed) if listed else checked_names(_names_in_use(annotations), folder)
    images = find_images(folder)
    chosen = annotations if split is None else _annotations_of(folder, split, annotations, images)
    index = NameIndex(images, folder)
    found = {path: index.find(path) for path in chosen}
    places = {path.parent: image.parent for path, image in found.items() if image}
    pairs = [
        (
            ensure_within(image or places.get(path.parent, path.parent) / f"{path.stem}.jpg", options.within),
            ensure_within(path, options.within),
        )
        for path, image in found.items()
    ]
    result = read_pairs(pairs, ClassIndex(names), "voc", without_labels="left_out", shapes=options.shapes)
    notes = result.notes(folder)
    if split is None:
        notes += _note_unlabeled({path for path in images if path.parent in places.values()} - set(found.values()))
    ids = tuple(range(1, len(names) + 1))
    return DetectionDataset("voc", folder, split, names, ids, tuple(result.images), tuple(result.problems), notes)


def _is_annotation(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES).replace(b"\0", b"")
    except OSError:
        return False
    return _ROOT.search(head) is not None


def _lists(folder: Path, annotations: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the list files of each split, in the folder or beside those of the annotations.

    Of those beside other files only those with the usual names count. Years beside each other have a list each.
    """
    roots = dict.fromkeys((folder, *(path.parent.parent for path in annotations if path.parent != folder)))
    for place in _LISTS:
        lists: dict[str, list[Path]] = {}
        for path in sorted(path for root in roots for path in (root / place).glob("*.txt")):
            if place != "." or is_usual(path.stem):
                lists.setdefault(path.stem, []).append(path)
        if lists:
            return lists
    return {}


def _split_folders(folder: Path, annotations: Sequence[Path]) -> Iterator[str]:
    names = (split_of(path.relative_to(folder).parts[:-1]) for path in annotations)
    yield from sorted({name for name in names if name})


def _annotations_of(folder: Path, split: str, annotations: Sequence[Path], images: Sequence[Path]) -> Sequence[Path]:
    lists = _lists(folder, annotations)
    if not lists:
        own = choose_split(split, _split_folders(folder, annotations), folder)
        return [path for path in annotations if split_of(path.relative_to(folder).parts[:-1]) == own]
    chosen = lists[choose_split(split, lists, next(iter(lists.values()))[0].parent)]
    by_stem = {annotation.stem: annotation for annotation in annotations}
    stems = _stems_of(chosen, {*by_stem, *(image.stem for image in images)})
    usual = annotations[0].parent
    return [by_stem.get(stem, usual / f"{stem}.xml") for stem in dict.fromkeys(stems)]


def _stems_of(lists: Sequence[Path], known: Set[str]) -> list[str]:
    rows = [row for path in lists for row in read_list(path)]
    if not rows:
        raise DatasetError(f"expected names of images in {lists[0]}, got none")
    return [stem for stem in (_stem_of(row, known) for row in rows) if stem]


def _stem_of(row: str, known: Set[str]) -> str:
    """Return the name that a row of a list gives, which may have spaces, folders or the image's suffix.

    In the list of a class a flag follows; what it marks as without the class (-1) has the name "".
    """
    if row in known:
        return row
    *name, flag = row.rsplit(maxsplit=1)
    if name and flag in _FLAGS:
        return "" if flag == "-1" else _stem_of(name[0], known)
    stem, dot, suffix = row.rpartition(".")
    stem = stem if dot and f".{suffix}".lower() in SUFFIXES else row
    last = PureWindowsPath(stem).name
    return last if last in known else stem


def _note_unlabeled(images: Set[Path]) -> tuple[str, ...]:
    if not images:
        return ()
    count = f"{len(images)} images have" if len(images) > 1 else "one image has"
    return (f"{count} no annotation file, such as {min(images)}: left out",)


def _names_in_use(annotations: Sequence[Path]) -> list[str]:
    names: set[str] = set()
    for path in annotations:
        try:
            root = parse_xml(path.read_bytes())
        except LabelError:
            continue
        names |= {(name.text or "").strip() for name in root.iterfind("object/name")}
    return sorted(names - {""})

"""Pascal VOC folders: ``Annotations/*.xml``, ``JPEGImages`` and, for splits, ``ImageSets/Main/<split>.txt``."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Final

from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import DatasetError, LabelError
from yoloscope.training.data.annotations.parsing import parse_xml
from yoloscope.training.data.datasets.dataset import DetectionDataset
from yoloscope.training.data.datasets.files import checked_names, choose_split, confined, find_names_file, read_names
from yoloscope.training.data.datasets.images import SUFFIXES
from yoloscope.training.data.datasets.reading import read_pairs

_FLAGS: Final = ("1", "0", "-1")


def is_voc(folder: Path) -> bool:
    """Tell whether a folder has VOC's two folders."""
    return (folder / "Annotations").is_dir() and (folder / "JPEGImages").is_dir()


def read_voc_folder(folder: Path, split: str | None = None, within: Path | None = None) -> DetectionDataset:
    """Read the labels of one split, or of every annotation file where ``split`` is None.

    Classes are those of a names file in the folder, else all that any annotation of the whole folder names, sorted:
    their order does not depend on the split. Raises DatasetError.
    """
    annotations = sorted((folder / "Annotations").glob("*.xml"))
    if not annotations:
        raise DatasetError(f"expected XML files in {folder / 'Annotations'}, got none")
    listed = find_names_file(folder)
    names = read_names(listed) if listed else checked_names(_names_in_use(annotations), folder / "Annotations")
    images = {path.stem: path for path in (folder / "JPEGImages").iterdir() if path.suffix.lower() in SUFFIXES}
    stems = [path.stem for path in annotations]
    if split is not None:
        stems = _stems_of(folder, split, {*stems, *images})
    pairs = [
        (
            confined(images.get(stem, folder / "JPEGImages" / f"{stem}.jpg"), within),
            confined(folder / "Annotations" / f"{stem}.xml", within),
        )
        for stem in stems
    ]
    harvest = read_pairs(pairs, ClassIndex(names), "voc", labels_may_miss=False)
    return DetectionDataset(
        "voc", folder, split, names, tuple(range(1, len(names) + 1)), tuple(harvest.images), tuple(harvest.problems)
    )


def _stems_of(folder: Path, split: str, known: Set[str]) -> list[str]:
    lists = folder / "ImageSets" / "Main"
    available = {path.stem: path for path in lists.glob("*.txt")}
    path = available[choose_split(split, available, lists)]
    rows = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    if not rows:
        raise DatasetError(f"expected names of images in {path}, got none")
    return [stem for stem in (_stem_of(row, known) for row in rows) if stem]


def _stem_of(row: str, known: Set[str]) -> str:
    """Return the name that a row of a list gives, which may have spaces or the image's suffix.

    In the list of a class a flag follows; what it marks as without the class (-1) has the name "".
    """
    if row in known:
        return row
    *name, flag = row.rsplit(maxsplit=1)
    if name and flag in _FLAGS:
        return "" if flag == "-1" else _stem_of(name[0], known)
    stem, dot, suffix = row.rpartition(".")
    return stem if dot and f".{suffix}".lower() in SUFFIXES else row


def _names_in_use(annotations: list[Path]) -> list[str]:
    names: set[str] = set()
    for path in annotations:
        try:
            root = parse_xml(path.read_bytes())
        except LabelError:
            continue
        names |= {(name.text or "").strip() for name in root.iterfind("object/name")}
    return sorted(names - {""})

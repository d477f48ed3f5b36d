"""Data sets of YOLO text labels: ``data.yaml``, darknet's ``.data`` file, or bare ``images`` and ``labels`` folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.errors import DatasetError
from training.data.annotations import ClassIndex
from training.data.datasets.confinement import confined
from training.data.datasets.label_files import find_unused, label_file
from training.data.datasets.pictures import find_pictures
from training.data.datasets.reading import read_pairs
from training.data.datasets.splits import choose_split
from training.data.datasets.structures import DatasetProblem, DetectionDataset


@dataclass(frozen=True)
class YoloDescription:
    """What a description says: class names, and per split the folders or list files of its pictures.

    Paths inside list files are relative to the list's folder or to ``roots``; none may lead out of ``within``.
    """

    source: Path
    class_names: tuple[str, ...]
    splits: dict[str, tuple[Path, ...]]
    roots: tuple[Path, ...]
    within: Path | None = None


def read_yolo_text(description: YoloDescription, split: str | None) -> DetectionDataset:
    """Read the labels of one split, or of all where ``split`` is None; a missing label file means no objects.

    A ``test`` that is named and not there is a problem of all splits together, and no error: exports name one always.
    Raises DatasetError where a split does not exist or has no pictures.
    """
    source, names = description.source, description.class_names
    if split is not None:
        split = choose_split(split, description.splits, source)
    wanted = description.splits if split is None else {split: description.splits[split]}
    absent = _absent_test(wanted) if split is None else []
    places = [place for group in wanted.values() for place in group if place not in absent]
    pictures = list(dict.fromkeys(path for place in places for path in _pictures(place, description)))
    if not pictures:
        looked = ", ".join(map(str, places))
        raise DatasetError(f"expected pictures for {split or 'the data set'} of {source}, got none in {looked}")
    pairs = [(path, confined(label_file(path), description.within)) for path in pictures]
    if not any(path.is_file() for _, path in pairs):
        raise DatasetError(f"expected label files for the pictures of {source}, such as {pairs[0][1]}, got not one")
    harvest = read_pairs(pairs, ClassIndex(names), "yolo", labels_may_miss=True)
    unused = find_unused([place for place in places if place.is_dir()], {label for _, label in pairs})
    detail = f"expected the pictures that {source} names, got no file or folder"
    missing = [DatasetProblem("missing_split", place, "", detail) for place in absent]
    problems = (*harvest.problems, *unused, *missing)
    ids = tuple(range(1, len(names) + 1))
    return DetectionDataset("yolo", source, split, names, ids, tuple(harvest.images), problems)


def resolve(text: str, roots: Iterable[Path], within: Path | None = None) -> Path:
    """Return the first existing path of a text under the roots, else the one under the first of them.

    Exports with the splits beside ``data.yaml`` often write ``../train/images`` for ``train/images``; both are tried.
    """
    written = Path(text)
    if written.is_absolute():
        return confined(written, within)
    inner = Path(*written.parts[1:]) if written.parts[:1] == ("..",) else written
    candidates = [root / form for root in roots for form in dict.fromkeys((written, inner))]
    return confined(next((path for path in candidates if path.exists()), candidates[0]), within)


def _absent_test(splits: dict[str, tuple[Path, ...]]) -> list[Path]:
    elsewhere = {place for split, places in splits.items() if split != "test" for place in places}
    return [place for place in splits.get("test", ()) if elsewhere and place not in elsewhere and not place.exists()]


def _pictures(place: Path, description: YoloDescription) -> Iterable[Path]:
    if place.is_dir():
        return [confined(path, description.within) for path in find_pictures(place)]
    if place.suffix.lower() != ".txt" or not place.is_file():
        raise DatasetError(
            f"expected a folder of pictures or a list of them at {place}, which {description.source} names"
        )
    roots = (place.parent, *description.roots)
    lines = (line.strip() for line in place.read_text("utf-8-sig").splitlines())
    return [resolve(line, roots, description.within) for line in lines if line]

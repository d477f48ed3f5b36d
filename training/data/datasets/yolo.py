"""Data sets of YOLO text labels: ``data.yaml``, darknet's ``.data`` file, or bare ``images`` and ``labels`` folders.

The three ways in which sets of YOLO text labels are described.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.annotations.parsing import integer_of_text
from yoloscope.training.data.datasets.dataset import DatasetProblem, DetectionDataset
from yoloscope.training.data.datasets.files import (
    checked_names,
    choose_split,
    confined,
    find_names_file,
    find_unused,
    label_file,
    read_names,
)
from yoloscope.training.data.datasets.images import SUFFIXES, find_images
from yoloscope.training.data.datasets.reading import read_pairs

_YAML_SPLITS: Final = {"train": "train", "valid": "val", "val": "val", "test": "test"}
_DARKNET_SPLITS: Final = {"train": "train", "valid": "val", "test": "test"}


def read_data_yaml(path: Path, within: Path | None = None) -> YoloDescription:
    """Read a ``data.yaml``: ``names`` as a list or by number; ``train``, ``val`` or ``valid``, ``test`` below ``path``.

    Names are what is written, be it a word of YAML's own (``no``) or a number. Raises DatasetError, also where ``nc``
    is not their number.
    """
    try:
        text = path.read_text("utf-8-sig")
        document, written = yaml.safe_load(text), yaml.BaseLoader(text).get_single_data()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(f"expected a YAML file at {path}, got: {error}") from error
    if not isinstance(document, dict) or "names" not in document:
        raise DatasetError(f"expected the key 'names' in {path}, got none")
    root = resolve(str(document.get("path") or "."), (path.parent,), within)
    roots = (root, path.parent)
    splits: dict[str, tuple[Path, ...]] = {}
    for key, split in _YAML_SPLITS.items():
        if document.get(key):
            splits[split] = tuple(resolve(text, roots, within) for text in _texts(document[key], f"{path}: {key}"))
    if not splits:
        raise DatasetError(f"expected one of {', '.join(dict.fromkeys(_YAML_SPLITS.values()))} in {path}, got none")
    return YoloDescription(path, _yaml_names(written, path), splits, roots, within)


def read_darknet_data(path: Path, within: Path | None = None) -> YoloDescription:
    """Read darknet's ``key = value`` file; paths may be relative to it or to a folder above it.

    darknet takes them relative to where it is started. ``valid`` is the split ``val``. Raises DatasetError.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"expected a darknet data file at {path}, got: {error}") from error
    options: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and not key.lstrip().startswith(("#", ";")):
            options[key.strip()] = value.strip()
    roots = (path.parent, *path.parent.resolve().parents[:2])
    splits: dict[str, tuple[Path, ...]] = {
        split: (resolve(options[key], roots, within),) for key, split in _DARKNET_SPLITS.items() if options.get(key)
    }
    if not splits or not options.get("names"):
        raise DatasetError(f"expected names and one of {', '.join(_DARKNET_SPLITS)} in {path}, got {sorted(options)}")
    return YoloDescription(path, read_names(resolve(options["names"], roots, within)), splits, roots, within)


def describe_folder(folder: Path, within: Path | None = None) -> YoloDescription | None:
    """Return the description of bare folders ``images`` and ``labels`` with a names file, or None.

    Folders inside ``images``, or beside each other with an ``images`` each, are splits.
    """
    names = find_names_file(folder)
    images = folder / "images"
    if names is None or not (images.is_dir() or list(folder.glob("*/images"))):
        return None
    inner = sorted(path for path in images.iterdir() if path.is_dir()) if images.is_dir() else []
    splits: dict[str, tuple[Path, ...]] = {path.name: (path,) for path in inner}
    splits |= {path.parent.name: (path,) for path in sorted(folder.glob("*/images"))}
    return YoloDescription(folder, read_names(names), splits or {"all": (images,)}, (folder,), within)


def describe_flat(folder: Path, within: Path | None = None) -> YoloDescription | None:
    """Return the description of a folder where images, labels and a names file lie side by side, or None."""
    names = find_names_file(folder)
    images = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if names is None or not any(path.with_suffix(".txt").is_file() for path in images):
        return None
    return YoloDescription(folder, read_names(names), {"all": (folder,)}, (folder,), within)


def _texts(value: object, where: str) -> list[str]:
    values = value if isinstance(value, list) else [value]
    texts = [text for text in values if isinstance(text, str) and text]
    if len(texts) != len(values):
        raise DatasetError(f"expected a path or a list of paths for {where}, got {value!r}")
    return texts


def _yaml_names(written: dict[str, object], path: Path) -> tuple[str, ...]:
    """Return the class names of a document whose scalars are all texts."""
    value = written.get("names")
    if isinstance(value, dict):
        by_number = {integer_of_text(str(key)): name for key, name in value.items()}
        if set(by_number) != set(range(len(value))):
            raise DatasetError(f"expected the names in {path} numbered 0..{len(value) - 1}, got {list(value)}")
        value = [by_number[number] for number in range(len(value))]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise DatasetError(f"expected a list of names in {path}, got {value!r}")
    stated = written.get("nc") or str(len(value))
    if integer_of_text(str(stated)) != len(value):
        raise DatasetError(f"expected as many names as nc says in {path}, {stated}, got {len(value)}")
    return checked_names(value, path)


@dataclass(frozen=True)
class YoloDescription:
    """What a description says: class names, and per split the folders or list files of its images.

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
    Raises DatasetError where a split does not exist or has no images.
    """
    source, names = description.source, description.class_names
    if split is not None:
        split = choose_split(split, description.splits, source)
    wanted = description.splits if split is None else {split: description.splits[split]}
    absent = _absent_test(wanted) if split is None else []
    places = [place for group in wanted.values() for place in group if place not in absent]
    images = list(dict.fromkeys(path for place in places for path in _images(place, description)))
    if not images:
        looked = ", ".join(map(str, places))
        raise DatasetError(f"expected images for {split or 'the data set'} of {source}, got none in {looked}")
    pairs = [(path, confined(label_file(path), description.within)) for path in images]
    if not any(path.is_file() for _, path in pairs):
        raise DatasetError(f"expected label files for the images of {source}, such as {pairs[0][1]}, got not one")
    harvest = read_pairs(pairs, ClassIndex(names), "yolo", labels_may_miss=True)
    unused = find_unused([place for place in places if place.is_dir()], {label for _, label in pairs})
    detail = f"expected the images that {source} names, got no file or folder"
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


def _images(place: Path, description: YoloDescription) -> Iterable[Path]:
    if place.is_dir():
        return [confined(path, description.within) for path in find_images(place)]
    if place.suffix.lower() != ".txt" or not place.is_file():
        raise DatasetError(
            f"expected a folder of images or a list of them at {place}, which {description.source} names"
        )
    roots = (place.parent, *description.roots)
    lines = (line.strip() for line in place.read_text("utf-8-sig").splitlines())
    return [resolve(line, roots, description.within) for line in lines if line]

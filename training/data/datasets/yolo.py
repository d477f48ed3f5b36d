"""YOLO text data sets: described by ``data.yaml``, by darknet's ``.data`` file, or by a file of class names alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import DatasetError
from yoloscope.models.images import SUFFIXES
from yoloscope.training.config_keys import yaml_reason
from yoloscope.training.data.annotations.parsing import integer_of_text
from yoloscope.training.data.datasets.dataset import DatasetProblem, DetectionDataset
from yoloscope.training.data.datasets.files import (
    checked_names,
    choose_split,
    find_names_file,
    read_list,
    read_names,
    read_text,
    split_of,
)
from yoloscope.training.data.datasets.pairing import NameIndex, find_unused, label_file
from yoloscope.training.data.datasets.paths import (
    PathFinder,
    ensure_within,
    exists,
    find_files,
    find_images,
    is_within,
)
from yoloscope.training.data.datasets.reading import DEFAULT_OPTIONS, ReadOptions, read_pairs

_YAML_SPLITS: Final = {"train": "train", "valid": "val", "val": "val", "test": "test"}
UNDIVIDED: Final = "all"
"""The one split of a data set that is not divided."""
_DARKNET_FOLDERS: Final = ("cfg", "data")
_DARKNET_SPLITS: Final = {"train": "train", "valid": "val", "test": "test"}


@dataclass(frozen=True)
class YoloConfig:
    """Class names of a YOLO text data set and, per split, its images: files, folders or list files.

    ``finder`` finds what lists name; ``index`` the label files that are not where darknet looks.
    """

    source: Path
    class_names: tuple[str, ...]
    splits: dict[str, tuple[Path, ...]]
    finder: PathFinder
    index: NameIndex | None = None


def read_data_yaml(path: Path, within: Path | None = None) -> YoloConfig:
    """Read a ``data.yaml``: ``names`` as a list or by number; ``train``, ``val`` or ``valid``, ``test`` below ``path``.

    Names are what is written, be it a word of YAML's own (``no``) or a number. Raises DatasetError, also where ``nc``
    is not their number.
    """
    text = read_text(path, "a YAML file")
    try:
        document, written = yaml.safe_load(text), yaml.BaseLoader(text).get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        raise DatasetError(f"expected a YAML file at {path}, got: {yaml_reason(error)}") from error
    if not isinstance(document, dict) or "names" not in document:
        raise DatasetError(f"expected the key 'names' in {path}, got none")
    finder = _yaml_finder(document.get("path"), path, within)
    splits: dict[str, tuple[Path, ...]] = {}
    for key, split in _YAML_SPLITS.items():
        if document.get(key):
            texts = _texts(document[key], f"{path}: {key}")
            splits[split] = tuple(finder.find(text, accept=_has_images) for text in texts)
    if not splits:
        raise DatasetError(f"expected one of {', '.join(dict.fromkeys(_YAML_SPLITS.values()))} in {path}, got none")
    return YoloConfig(path, _yaml_names(written, path), splits, finder)


def read_darknet_data(path: Path, within: Path | None = None) -> YoloConfig:
    """Read darknet's ``key = value`` file; paths may be relative to it or to a folder above it.

    darknet takes them relative to where it is started. ``valid`` is the split ``val``. Raises DatasetError.
    """
    options, finder = _darknet_options(path), _darknet_finder(path, within)
    splits: dict[str, tuple[Path, ...]] = {
        split: (finder.find(options[key], accept=_has_images),)
        for key, split in _DARKNET_SPLITS.items()
        if options.get(key)
    }
    if not splits or not options.get("names"):
        raise DatasetError(f"expected names and one of {', '.join(_DARKNET_SPLITS)} in {path}, got {sorted(options)}")
    return YoloConfig(path, read_names(finder.find(options["names"], accept=Path.is_file)), splits, finder)


def read_description_names(path: Path) -> tuple[str, ...]:
    """Return the class names of a ``data.yaml``, a darknet ``.data`` or a names file alone; raises DatasetError."""
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        try:
            written = yaml.BaseLoader(read_text(path, "a YAML file")).get_single_data()
        except (yaml.YAMLError, RecursionError) as error:
            raise DatasetError(f"expected a YAML file at {path}, got: {yaml_reason(error)}") from error
        if not isinstance(written, dict):
            raise DatasetError(f"expected the key 'names' in {path}, got none")
        return _yaml_names(written, path)
    if suffix != ".data":
        return read_names(path)
    names = _darknet_options(path).get("names")
    if not names:
        raise DatasetError(f"expected names in {path}, got none")
    return read_names(_darknet_finder(path, None).find(names, accept=Path.is_file))


def find_yolo(folder: Path, within: Path | None = None) -> YoloConfig | None:
    """Return the images and labels of a folder that has a file of class names and no description, or None.

    Images and labels may lie in ``images`` and ``labels``, in folders of other names, or side by side. Folders inside
    ``images`` are splits, and so are those with the usual names.
    """
    names = find_names_file(folder)
    images = () if names is None else find_images(folder)
    if names is None or not images:
        return None
    index = NameIndex(find_files(folder, (".txt",)), folder)
    if not any(label_file(path, index).is_file() for path in images):
        return None
    splits: dict[str, list[Path]] = {}
    for path in images:
        splits.setdefault(_folder_split(path.relative_to(folder).parts[:-1]) or UNDIVIDED, []).append(path)
    by_split = {split: tuple(paths) for split, paths in splits.items()}
    return YoloConfig(folder, read_names(names), by_split, PathFinder(folder, within=within), index)


def read_yolo_text(
    config: YoloConfig, split: str | None = None, options: ReadOptions = DEFAULT_OPTIONS
) -> DetectionDataset:
    """Read the labels of one split, or of all where ``split`` is None; a missing label file means no objects.

    A ``test`` that is named and not there is a problem of all splits together, and no error: exports name one always.
    Raises DatasetError where a split does not exist or has no images.
    """
    source, names = config.source, config.class_names
    if split is not None:
        split = choose_split(split, config.splits, source)
    wanted = config.splits if split is None else {split: config.splits[split]}
    absent = _absent_test(wanted) if split is None else []
    places = [place for group in wanted.values() for place in group if place not in absent]
    if split is None:
        _require_splits(wanted, absent, source)
    images = list(dict.fromkeys(path for place in places for path in _images(place, config)))
    if not images:
        looked = ", ".join(map(str, places))
        raise DatasetError(f"expected images for {split or 'the data set'} of {source}, got none in {looked}")
    pairs = [(path, ensure_within(label_file(path, config.index), options.within)) for path in images]
    if not any(path.is_file() for _, path in pairs):
        raise DatasetError(f"expected label files for the images of {source}, such as {pairs[0][1]}, got not one")
    result = read_pairs(pairs, ClassIndex(names), "yolo", without_labels="no_objects", shapes=options.shapes)
    labels = {label for _, label in pairs}
    folders = dict.fromkeys(place if place.is_dir() else place.parent for place in places if place.suffix != ".txt")
    beside = {label.parent for label in labels if label.is_file()} if config.index and split is None else ()
    unused = find_unused(folders, labels, beside)
    detail = f"expected the images that {source} names, got no file or folder"
    missing = [DatasetProblem("missing_split", place, "", detail) for place in absent]
    problems = (*result.problems, *unused, *missing)
    notes = (*config.finder.note(source), *result.notes(source))
    ids = tuple(range(1, len(names) + 1))
    return DetectionDataset("yolo", source, split, names, ids, tuple(result.images), problems, notes)


def _darknet_options(path: Path) -> dict[str, str]:
    options: dict[str, str] = {}
    for line in read_text(path, "a darknet data file").splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.lstrip().startswith(("#", ";")):
            options[key.strip()] = value.strip()
    return options


def _darknet_finder(path: Path, within: Path | None) -> PathFinder:
    folder = path.parent.parent if path.parent.name in _DARKNET_FOLDERS else path.parent
    return PathFinder(folder, (path.parent, *path.parent.resolve().parents[:2]), within)


def _yaml_finder(written: object, path: Path, within: Path | None) -> PathFinder:
    """Return the finder of a ``data.yaml``; its key ``path`` may be that of another machine."""
    folder = path.parent
    finder = PathFinder(folder, within=within)
    if not written:
        return finder
    root = folder / str(written).replace("\\", "/")
    if not exists(root) or (Path(str(written)).is_absolute() and not is_within(root, within)):
        finder.relocated[str(written)] = folder
        return finder
    finder.roots = (ensure_within(root, within), folder)
    return finder


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


def _has_images(path: Path) -> bool:
    return path.suffix.lower() == ".txt" if path.is_file() else any(find_images(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _folder_split(parts: tuple[str, ...]) -> str | None:
    """Return the split of an image by its folders: the first usual name, else that at ``images``."""
    usual = split_of(parts)
    if usual is not None:
        return usual
    if len(parts) > 1 and "images" in (parts[0], parts[-1]):
        return parts[1] if parts[0] == "images" else parts[0]
    return None


def _absent_test(splits: dict[str, tuple[Path, ...]]) -> list[Path]:
    elsewhere = {place for split, places in splits.items() if split != "test" for place in places}
    return [place for place in splits.get("test", ()) if elsewhere and place not in elsewhere and not exists(place)]


def _require_splits(splits: dict[str, tuple[Path, ...]], absent: Collection[Path], source: Path) -> None:
    """Raise DatasetError that names the splits which are there, where others are not."""
    lost = {split: place for split, group in splits.items() for place in group if not exists(place)}
    there = [split for split in splits if split not in lost]
    for split, place in lost.items():
        if place not in absent and there:
            raise DatasetError(
                f"expected the images of {split} at {place}, which {source} names, got no file or folder; name a split "
                f"that is there: {', '.join(there)}"
            )


def _images(place: Path, config: YoloConfig) -> Iterable[Path]:
    finder = config.finder
    if place.is_dir():
        return [ensure_within(path, finder.within) for path in find_images(place)]
    if _is_image(place):
        return [ensure_within(place, finder.within)]
    if place.suffix.lower() != ".txt" or not place.is_file():
        raise DatasetError(f"expected a folder of images or a list of them at {place}, which {config.source} names")
    return [finder.find(line, (place.parent,), _is_image) for line in read_list(place)]

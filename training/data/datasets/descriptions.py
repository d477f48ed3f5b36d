"""The three ways in which sets of YOLO text labels are described."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from models.errors import DatasetError
from training.data.annotations.values import integer_of_text
from training.data.datasets.names import checked_names, find_names_file, read_names
from training.data.datasets.pictures import SUFFIXES
from training.data.datasets.yolo_text import YoloDescription, resolve

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
    """Return the description of a folder where pictures, labels and a names file lie side by side, or None."""
    names = find_names_file(folder)
    pictures = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if names is None or not any(path.with_suffix(".txt").is_file() for path in pictures):
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

"""Open any data set: its layout is recognized by the files in its folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import yaml

from yoloscope.models.errors import DatasetError
from yoloscope.training.data.annotations import ShapePolicy
from yoloscope.training.data.datasets.coco import (
    choose_coco_file,
    coco_splits,
    file_of_split,
    find_coco_files,
    read_coco,
    splits_beside,
)
from yoloscope.training.data.datasets.dataset import DetectionDataset
from yoloscope.training.data.datasets.files import is_usual, list_names_files, read_text, same_split
from yoloscope.training.data.datasets.pairing import begins_like_labels
from yoloscope.training.data.datasets.paths import find_files, find_images
from yoloscope.training.data.datasets.reading import ReadOptions
from yoloscope.training.data.datasets.voc import find_voc_files, read_voc_folder, voc_splits
from yoloscope.training.data.datasets.yolo import (
    UNDIVIDED,
    YoloConfig,
    find_yolo,
    read_darknet_data,
    read_data_yaml,
    read_description_names,
    read_yolo_text,
)

_EXPECTED: Final = (
    "a COCO JSON file (with images, annotations and categories), VOC XML files with their images, a data.yaml with "
    "names, a darknet .data file, or images and YOLO text labels (in folders of any name, or side by side) with "
    "classes.txt or a .names file"
)
_ADVICE: Final = "pass the folder that holds images and labels, or the description file itself"
_IGNORED: Final = ("__MACOSX",)
_NAMES: Final = re.compile(r"""\bnames["']?[ \t]*:""")


@dataclass(frozen=True)
class _Source:
    """One way to open a data set: what describes it, the names of its splits, and the reader of a split or of all."""

    name: str
    splits: Callable[[], tuple[str, ...]]
    read: Callable[[str | None], DetectionDataset]


def open_dataset(
    path: Path | str, split: str | None = None, *, within: Path | None = None, shapes: ShapePolicy = "enclose"
) -> DetectionDataset:
    """Open the data set at a folder or description file (``.json``, ``.yaml``, ``.data``).

    ``split`` names one of its parts (``val``, ``valid`` and ``val2017`` are one); None means every image, except that
    one of several COCO files must be chosen. A COCO file that is named stands for its split: the file of another one is
    looked for beside it. A folder that holds one other folder stands for that one, if it is no data set itself.

    ``within`` is a folder that no file of the data set may lie outside of: what a data set that somebody else wrote is
    opened with. Labels of other ``shapes`` than boxes are read as the boxes that enclose them and counted in ``notes``,
    or refused. Raises DatasetError saying what was looked for and what was found.
    """
    return _find(Path(path), ReadOptions(within, shapes)).read(split)


def list_splits(path: Path | str, *, within: Path | None = None) -> tuple[str, ...]:
    """Return the names of the splits of a data set, none where it is not divided; raises as ``open_dataset`` does."""
    return _find(Path(path), ReadOptions(within)).splits()


def open_split_or_all(
    path: Path | str, split: str | None, *, within: Path | None = None, shapes: ShapePolicy = "enclose"
) -> DetectionDataset:
    """Open a split as ``open_dataset`` does, or all of a data set that has no splits, with a note.

    A data set has splits where one of its parts has that name or a usual one: a spelling of train, val or test.
    """
    source = _find(Path(path), ReadOptions(within, shapes))
    if split is None or any(is_usual(name) or same_split(name, split) for name in source.splits()):
        return source.read(split)
    dataset = source.read(None)
    note = f"{dataset.source} has no splits: all of its {len(dataset)} images stand for {split}"
    return replace(dataset, notes=(*dataset.notes, note))


def find_label_names(label: Path) -> tuple[Path, tuple[str, ...]] | None:
    """Return the file that names the class ids of a YOLO label file, and the names; None where there is none near.

    Looked for in the label's folder and the one above, and above ``labels`` and folders of splits. A description
    (``data.yaml``, ``.data``) goes before a bare list, as when the data set is opened. Files that do not end in
    ``.txt`` are no YOLO text. Raises DatasetError for names that cannot be read, and for several that differ.
    """
    if label.suffix.lower() != ".txt":
        return None
    folder = label.resolve().parent
    for above in (folder, *folder.parents[: 2 if _is_part(folder) or _is_part(folder.parent) else 1]):
        found = [path for path in sorted(above.iterdir()) if _is_description(path)] or list_names_files(above)
        names = {path: read_description_names(path) for path in found}
        if len(set(names.values())) > 1:
            listed = ", ".join(path.name for path in names)
            raise DatasetError(f"expected one list of class names for {label} in {above}, got others: {listed}")
        if names:
            return next(iter(names.items()))
    return None


def _is_part(folder: Path) -> bool:
    return folder.name.lower() == "labels" or is_usual(folder.name)


def _is_description(path: Path) -> bool:
    suffix = path.suffix.lower()
    return path.is_file() and (suffix == ".data" or (suffix in (".yaml", ".yml") and _has_names(path)))


def _find(path: Path, options: ReadOptions) -> _Source:
    if path.is_file():
        return _file_source(path, options)
    if not path.is_dir():
        raise DatasetError(f"expected a data set at {path}, got no file or folder")
    folder, found = _sources_below(_descend(path), options)
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(source.name for source in found)
        raise DatasetError(f"expected one description of the data set in {folder}, got {listed}: pass the one to use")
    raise DatasetError(f"expected {_EXPECTED} in {folder}, got {_listing(folder)}; {_advice(folder)}")


def _file_source(path: Path, options: ReadOptions) -> _Source:
    suffix = path.suffix.lower()
    if suffix == ".json":

        def read(split: str | None) -> DetectionDataset:
            return read_coco(file_of_split(path, split, options.within), split, options)

        return _Source(path.name, partial(splits_beside, path), read)
    if suffix in (".yaml", ".yml"):
        return _yolo_source(path.name, partial(read_data_yaml, path, options.within), options)
    if suffix == ".data":
        return _yolo_source(path.name, partial(read_darknet_data, path, options.within), options)
    hint = "; unpack it first" if suffix in (".zip", ".tar", ".gz", ".tgz") else ""
    raise DatasetError(f"expected a folder, or a .json, .yaml or .data file, got {path}{hint}")


def _yolo_source(name: str, config: Callable[[], YoloConfig], options: ReadOptions) -> _Source:
    def splits() -> tuple[str, ...]:
        return tuple(split for split in config().splits if split != UNDIVIDED)

    return _Source(name, splits, lambda split: read_yolo_text(config(), split, options))


def _sources(folder: Path, options: ReadOptions) -> Iterator[_Source]:
    """Yield every way to open a folder: descriptions first; bare labels count only where nothing else describes it."""
    coco = find_coco_files(folder)
    if coco:

        def read(split: str | None) -> DetectionDataset:
            return read_coco(choose_coco_file(coco, split, folder), split, options, folder)

        names = " and ".join(str(path.relative_to(folder)) for path in coco)
        yield _Source(names, partial(coco_splits, coco), read)
    voc = find_voc_files(folder)
    if voc:
        root = folder if _has_images(folder) else folder.parent
        name = "*.xml" if voc[0].parent == folder else f"{voc[0].parent.relative_to(folder)}/"
        yield _Source(name, partial(voc_splits, root, voc), lambda split: read_voc_folder(root, voc, split, options))
    described = bool(coco or voc)
    for path in sorted(folder.iterdir()):
        if _is_description(path):
            described = True
            yield _file_source(path, options)
    bare = None if described else find_yolo(folder, options.within)
    if bare is not None:
        yield _yolo_source("labels/", lambda: bare, options)


def _has_names(path: Path) -> bool:
    """Return whether a YAML file has the key ``names``, or what looks so where it cannot be parsed."""
    try:
        text = read_text(path, "a YAML file")
    except DatasetError:
        return False
    if _NAMES.search(text) is None:
        return False
    try:
        document = yaml.BaseLoader(text).get_single_data()
    except (yaml.YAMLError, RecursionError):
        return any(line.startswith("names:") for line in text.splitlines())
    return isinstance(document, dict) and "names" in document


def _descend(folder: Path) -> Path:
    entries = _entries(folder)
    return _descend(entries[0]) if len(entries) == 1 and entries[0].is_dir() else folder


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in _IGNORED]


def _sources_below(folder: Path, options: ReadOptions) -> tuple[Path, list[_Source]]:
    """Return the ways to open a folder; where there are none, those of its only folder, which notes may lie beside."""
    found = list(_sources(folder, options))
    inner = [path for path in _entries(folder) if path.is_dir()]
    if not found and len(inner) == 1:
        below = _sources_below(_descend(inner[0]), options)
        if below[1]:
            return below
    return folder, found


def _has_images(folder: Path) -> bool:
    return bool(find_images(folder))


def _advice(folder: Path) -> str:
    """Return what is missing in a folder that is no data set, or what to pass instead."""
    labels = [path for path in find_files(folder, (".txt",)) if begins_like_labels(path)]
    if labels and _has_images(folder):
        return f"the labels, such as {labels[0]}, need class names: add classes.txt with a name for each id in a line"
    if labels:
        return f"there are labels, such as {labels[0]}, and no images: {_ADVICE}"
    return f"there are images and no labels: {_ADVICE}" if _has_images(folder) else _ADVICE


def _listing(folder: Path) -> str:
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    if not names:
        return "an empty folder"
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")

"""COCO data sets: an instances file and the images around it, one file for each split or one for all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import DatasetError, LabelError
from yoloscope.models.images import SUFFIXES
from yoloscope.training.data.annotations import CocoFile, LabelContext, LabelLimits
from yoloscope.training.data.annotations.parsing import integer_of_json, parse_json
from yoloscope.training.data.annotations.reading import collect
from yoloscope.training.data.datasets.dataset import DatasetProblem, DetectionDataset, LabeledImage
from yoloscope.training.data.datasets.files import checked_names, choose_split, is_usual, same_split
from yoloscope.training.data.datasets.paths import PathFinder, ensure_within, exists
from yoloscope.training.data.datasets.reading import DEFAULT_OPTIONS, ReadOptions, ReadResult, size_or_problem

_BESIDE_IMAGES: Final = "_annotations.coco.json"
_PATTERNS: Final = ("*.json", "*/*.json", "*/*/*.json")
_MAX_FILES_IN_FOLDER: Final = 50
"""Folders of more JSON files hold one for each image (labelme); a COCO file among them is known by its name."""
_HEAD_BYTES: Final = 65_536
_KEYS: Final = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_LIMITS: Final = LabelLimits()
_PROBES: Final = 50


def find_coco_files(folder: Path) -> tuple[Path, ...]:
    """Return the COCO instance files of a data set: in its folder or up to two folders below.

    Where there are files called ``instances_*``, others (captions, key points) do not count.
    """
    found = [path for pattern in _PATTERNS for path in _few(folder.glob(pattern))]
    return _instances(
        path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def coco_splits(paths: tuple[Path, ...]) -> tuple[str, ...]:
    """Return the names of the splits that files are of; a single file whose name is no split's has none."""
    names = tuple(dict.fromkeys(map(split_name, paths)))
    return names if len(names) > 1 or any(map(is_usual, names)) else ()


def splits_beside(path: Path) -> tuple[str, ...]:
    """Return the names of the splits that a named file and those beside it are of."""
    return coco_splits((*_beside(path), path))


def choose_coco_file(paths: tuple[Path, ...], split: str | None, folder: Path) -> Path:
    """Return the file of a split; raise DatasetError if none or several could be meant."""
    by_name = {split_name(path): path for path in paths}
    if split is not None:
        return by_name[choose_split(split, by_name, folder)]
    if len(paths) > 1:
        raise DatasetError(f"expected the name of a split of {folder}: {', '.join(sorted(by_name))}; got none")
    return paths[0]


def file_of_split(path: Path, split: str | None, within: Path | None = None) -> Path:
    """Return the file that is meant by a named file and a split: itself, or the one beside it that is called so.

    A file whose name is no split's (``labels.json``) is ``train``. Raises DatasetError listing the splits there are.
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
    return ensure_within(by_name[chosen], within)


def split_name(path: Path) -> str:
    """Return the split that a file's name or folder gives: ``val2017`` of ``instances_val2017.json``."""
    stem = path.stem.removeprefix("instances_")
    if path.name == _BESIDE_IMAGES:
        return path.absolute().parent.name
    usual = [part for part in re.split(r"[_\-. ]+", stem) if is_usual(part)]
    if len(usual) == 1:
        return usual[0]
    parent = path.absolute().parent.name
    return parent if not usual and is_usual(parent) else stem


def _beside(path: Path) -> tuple[Path, ...]:
    parent = path.absolute().parent
    if path.name == _BESIDE_IMAGES or (split_name(path) == parent.name and is_usual(parent.name)):
        return _instances(parent.parent.glob(f"*/{path.name}"))
    return _instances(path.parent.glob("*.json"))


def _few(paths: Iterable[Path]) -> Iterator[Path]:
    by_folder: dict[Path, list[Path]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, []).append(path)
    for group in by_folder.values():
        few = len(group) <= _MAX_FILES_IN_FOLDER
        yield from (path for path in group if few or "instances" in path.stem or "coco" in path.stem)


def _instances(places: Iterable[Path]) -> tuple[Path, ...]:
    found = sorted(path for path in places if _looks_like_coco(path))
    return tuple([path for path in found if path.stem.startswith("instances")] or found)


def _looks_like_coco(path: Path) -> bool:
    """Judge by the file's first and last bytes, as such files are large: by two of the three lists, if all is seen."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            seen = set(_KEYS.findall(file.read(_HEAD_BYTES).replace(b"\0", b"")))
            file.seek(max(0, size - _HEAD_BYTES))
            seen |= set(_KEYS.findall(file.read().replace(b"\0", b"")))
    except OSError:
        return False
    return len(seen) >= (2 if size <= 2 * _HEAD_BYTES else 1)


def read_coco(
    path: Path, split: str | None = None, options: ReadOptions = DEFAULT_OPTIONS, folder: Path | None = None
) -> DetectionDataset:
    """Read the labels of one COCO file; the classes are its categories by ascending id.

    Of categories of one name only those count that have annotations: exports repeat a class as its own super-category.
    Images lie around the file, or anywhere in ``folder`` (the data set's); one of another size than the file states is
    left out. Raises DatasetError where the file is no COCO file or its images are nowhere near it.
    """
    try:
        coco = CocoFile.parse(parse_json(path.read_bytes()))
    except (OSError, LabelError) as error:
        raise DatasetError(f"expected a COCO JSON file at {path}, got: {error}") from error
    if not coco.images:
        raise DatasetError(f"expected images in {path}, got none")
    category_ids = _categories(coco)
    names = checked_names([coco.category_names[identifier] for identifier in category_ids], path)
    finder = _finder(coco, path, folder, options.within)
    result = _read_images(coco, path, ClassIndex(names), finder, options)
    notes = (*finder.note(path), *result.notes(path))
    split = split or split_name(path)
    return DetectionDataset(
        "coco", path, split, names, category_ids, tuple(result.images), tuple(result.problems), notes
    )


def _read_images(
    coco: CocoFile, path: Path, classes: ClassIndex, finder: PathFinder, options: ReadOptions
) -> ReadResult:
    ids = [integer_of_json(image.get("id")) for image in coco.images]
    result = ReadResult()
    repeated = coco.repeated_images()
    for position, (entry, number) in enumerate(zip(coco.images, ids, strict=True)):
        image_path = finder.find(_file_name(entry, position, path), accept=_is_image)
        if problem := repeated.get(position):
            result.problems.append(DatasetProblem("unreadable_labels", path, problem.pointer, problem.detail))
            continue
        size = size_or_problem(image_path)
        if isinstance(size, DatasetProblem):
            result.problems.append(size)
            continue
        context = LabelContext(classes, *size, image_path.name, options.shapes)
        try:
            scan = collect(coco.read_image(position, context), context, "coco", _LIMITS)
        except LabelError as error:
            result.problems.append(DatasetProblem("unreadable_labels", path, f"/images/{position}", str(error)))
            continue
        annotations = dict(coco.annotations.get(entry["id"], ()))
        areas = tuple(
            _area(annotations[int(label.pointer.rpartition("/")[2])], label.box_xyxy_px)
            for label in scan.labels.objects
        )
        image_id = position + 1 if None in ids or number is None else number
        result.add(LabeledImage(image_path, image_id, scan.labels, path, areas), scan)
    for orphan in coco.orphan_annotations():
        result.problems.append(DatasetProblem("unreadable_label", path, orphan.pointer, orphan.detail))
    return result


def _categories(coco: CocoFile) -> tuple[int, ...]:
    """Return the ids of the classes, ascending; of unused categories of one name, the last."""
    used = {integer_of_json(entry.get("category_id")) for group in coco.annotations.values() for _, entry in group}
    ids = sorted(coco.category_names, key=lambda identifier: (identifier in used, identifier))
    last = {coco.category_names[identifier]: identifier for identifier in ids}
    return tuple(sorted(identifier for identifier in ids if identifier in used or identifier in last.values()))


def _area(annotation: dict[str, Any], box: tuple[float, float, float, float]) -> float:
    stated = annotation.get("area")
    if isinstance(stated, int | float) and not isinstance(stated, bool):
        return float(stated)
    return (box[2] - box[0]) * (box[3] - box[1])


def _file_name(entry: dict[str, Any], position: int, path: Path) -> str:
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        raise DatasetError(f"expected a file_name at {path}#/images/{position}, got {name!r}")
    return name


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _finder(coco: CocoFile, path: Path, folder: Path | None, within: Path | None) -> PathFinder:
    """Return the finder whose root is the folder around the file that holds most of its first images."""
    names = [_file_name(entry, position, path) for position, entry in enumerate(coco.images[:_PROBES])]
    around = path.parent.parent if path.parent.name == "annotations" else path.parent
    finder = PathFinder(folder or around, within=within)
    folders = list(dict.fromkeys(_likely_folders(path, finder.folder)))
    forms = [name.replace("\\", "/") for name in names]
    hits = [sum(exists(place / name) for name in forms) for place in folders]
    finder.roots = (folders[hits.index(max(hits))],)
    if not max(hits) and not any(exists(finder.find(name, accept=_is_image)) for name in names):
        looked = ", ".join(map(str, folders))
        raise DatasetError(f"expected the images of {path}, such as {names[0]}, in one of {looked}; got none there")
    return finder


def _likely_folders(path: Path, folder: Path) -> Iterator[Path]:
    split = split_name(path)
    roots = (path.parent.parent, path.parent) if path.parent.name == "annotations" else (path.parent,)
    for root in dict.fromkeys((*roots, folder)):
        yield from (root, root / split, root / "images", root / "images" / split)
    for root in dict.fromkeys((*roots, folder)):
        yield from sorted(inner for inner in (*root.glob("*/"), *root.glob("*/*/")) if inner.is_dir())

"""Data sets described by a COCO instances file; images are looked for around it.

The COCO files of a data set: which JSON files they are, and which of them is a split's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import DatasetError, LabelError
from yoloscope.training.data.annotations import CocoFile, LabelContext, LabelLimits
from yoloscope.training.data.annotations.parsing import integer_of_json, parse_json
from yoloscope.training.data.annotations.reading import collect
from yoloscope.training.data.datasets.dataset import DatasetProblem, DetectionDataset, LabelledImage
from yoloscope.training.data.datasets.files import checked_names, choose_split, confined, is_usual, same_split
from yoloscope.training.data.datasets.reading import Harvest, size_or_problem

_BESIDE_IMAGES: Final = "_annotations.coco.json"
_HEAD_BYTES: Final = 65_536
_KEYS: Final = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')


def find_descriptions(folder: Path) -> tuple[Path, ...]:
    """Return the COCO instance files of a data set: in the folder, in ``annotations``, or one in each split's folder.

    Where there are files called ``instances_*``, others (captions, key points) do not count.
    """
    patterns = ("*.json", "annotations/*.json", f"*/{_BESIDE_IMAGES}")
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
    if path.name == _BESIDE_IMAGES:
        return path.absolute().parent.name
    return path.stem.removeprefix("instances_")


def _beside(path: Path) -> tuple[Path, ...]:
    if path.name == _BESIDE_IMAGES:
        return _instances(path.absolute().parent.parent.glob(f"*/{_BESIDE_IMAGES}"))
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


_LIMITS: Final = LabelLimits()
_PROBES: Final = 50


def read_coco(path: Path, split: str | None = None, within: Path | None = None) -> DetectionDataset:
    """Read the labels of one COCO file; the classes are its categories by ascending id.

    Of categories of one name only those count that have annotations: exports repeat a class as its own super-category.
    Images have the size that the file states (or else that of their header), checked when they are read. Raises
    DatasetError where the file is no COCO file or its images are nowhere near it.
    """
    try:
        coco = CocoFile.parse(parse_json(path.read_bytes()))
    except (OSError, LabelError) as error:
        raise DatasetError(f"expected a COCO JSON file at {path}, got: {error}") from error
    if not coco.images:
        raise DatasetError(f"expected images in {path}, got none")
    category_ids = _categories(coco)
    names = checked_names([coco.category_names[identifier] for identifier in category_ids], path)
    harvest = _read_images(coco, path, ClassIndex(names), within)
    return DetectionDataset(
        "coco", path, split or split_name(path), names, category_ids, tuple(harvest.images), tuple(harvest.problems)
    )


def _read_images(coco: CocoFile, path: Path, classes: ClassIndex, within: Path | None) -> Harvest:
    folder = _image_folder(coco, path)
    ids = [integer_of_json(image.get("id")) for image in coco.images]
    harvest = Harvest()
    repeated = coco.repeated_images()
    for position, (entry, number) in enumerate(zip(coco.images, ids, strict=True)):
        image_path = confined(folder / _file_name(entry, position, path), within)
        if problem := repeated.get(position):
            harvest.problems.append(DatasetProblem("unreadable_labels", path, problem.pointer, problem.detail))
            continue
        size = _stated_size(entry, image_path)
        if isinstance(size, DatasetProblem):
            harvest.problems.append(size)
            continue
        context = LabelContext(classes, *size, image_path.name)
        try:
            scan = collect(coco.read_image(position, context), context, "coco", _LIMITS)
        except LabelError as error:
            harvest.problems.append(DatasetProblem("unreadable_labels", path, f"/images/{position}", str(error)))
            continue
        annotations = dict(coco.annotations.get(entry["id"], ()))
        areas = tuple(
            _area(annotations[int(label.pointer.rpartition("/")[2])], label.box_xyxy_px)
            for label in scan.labels.objects
        )
        image_id = position + 1 if None in ids or number is None else number
        harvest.add(LabelledImage(image_path, image_id, scan.labels, path, areas), scan)
    for orphan in coco.orphan_annotations():
        harvest.problems.append(DatasetProblem("unreadable_label", path, orphan.pointer, orphan.detail))
    return harvest


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


def _stated_size(entry: dict[str, Any], image: Path) -> tuple[int, int] | DatasetProblem:
    width, height = integer_of_json(entry.get("width")), integer_of_json(entry.get("height"))
    if width and height and image.is_file():
        return width, height
    return size_or_problem(image)


def _file_name(entry: dict[str, Any], position: int, path: Path) -> str:
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        raise DatasetError(f"expected a file_name at {path}#/images/{position}, got {name!r}")
    return name


def _image_folder(coco: CocoFile, path: Path) -> Path:
    """Return the folder around the file that holds most of its first images."""
    names = [_file_name(entry, position, path) for position, entry in enumerate(coco.images[:_PROBES])]
    folders = list(dict.fromkeys(_likely_folders(path)))
    hits = [sum((folder / name).is_file() for name in names) for folder in folders]
    if not max(hits):
        looked = ", ".join(map(str, folders))
        raise DatasetError(f"expected the images of {path}, such as {names[0]}, in one of {looked}; got none there")
    return folders[hits.index(max(hits))]


def _likely_folders(path: Path) -> Iterator[Path]:
    split = split_name(path)
    roots = (path.parent.parent, path.parent) if path.parent.name == "annotations" else (path.parent,)
    for root in roots:
        yield from (root, root / split, root / "images", root / "images" / split)
    for root in roots:
        yield from sorted(path for path in root.iterdir() if path.is_dir())

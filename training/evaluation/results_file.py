"""Detections of any detector from a file in COCO's results format, judged on a labeled data set."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from yoloscope.models.classes import UNKNOWN_CLASS, ClassIndex
from yoloscope.models.detections import Detections
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import DetectionDataset

_Row = tuple[float, int, tuple[float, float, float, float]]


def read_results(path: Path, dataset: DetectionDataset, most: int) -> tuple[Detections, ...]:
    """Return the detections of each image of a data set, score descending, at most ``most``; boxes in its pixels.

    ``path`` holds a JSON list of ``{image_id, category_id, bbox: [x, y, width, height], score}``. An image goes by its
    id in the data set or its file name (``image_id`` or ``file_name``, with or without suffix), a category by its id or
    name (``category_id`` or ``category_name``). Raises DatasetError naming the entries that are wrong or unknown.
    """
    images, categories = _image_positions(dataset), dict(zip(dataset.category_ids, range(10**9), strict=False))
    index = ClassIndex(dataset.class_names)
    rows: list[list[_Row]] = [[] for _ in dataset.images]
    faults: list[str] = []
    for number, entry in enumerate(_entries(path)):
        try:
            position = _find_image(entry, images)
            rows[position].append((_score(entry), _find_category(entry, categories, index), _box(entry)))
        except ValueError as error:
            faults.append(f"/{number}: {error}")
    if faults:
        shown = "; ".join(faults[:3])
        raise DatasetError(f"{len(faults)} of the detections in {path} do not fit {dataset.source}: {shown}")
    return tuple(_detections(image_rows, most) for image_rows in rows)


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"expected a JSON list of detections at {path}, got: {error}") from error
    if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
        raise DatasetError(
            f"expected a JSON list of detections in {path} (COCO's results format), got {type(document).__name__}"
        )
    return document


def _image_positions(dataset: DetectionDataset) -> dict[object, int]:
    """Return the positions of the images by what may name them; of two meanings the stated one goes first."""
    ids: dict[object, int] = {image.image_id: at for at, image in enumerate(dataset.images)}
    names: dict[object, int] = {}
    twice: set[object] = set()
    for at, image in enumerate(dataset.images):
        stem = image.path.stem
        for name in {image.path.name, stem, *((int(stem),) if stem.isascii() and stem.isdigit() else ())}:
            twice |= {name} & names.keys()
            names[name] = at
    names = {name: at for name, at in names.items() if name not in twice}
    return names | ids if dataset.layout == "coco" else ids | names


def _find_image(entry: Mapping[str, Any], images: Mapping[object, int]) -> int:
    for key in ("image_id", "file_name"):
        name = entry.get(key)
        for known in (name, Path(name).name) if isinstance(name, str) else (name,):
            if isinstance(known, str | int) and known in images:
                return images[known]
    raise ValueError(f"expected the id or the file name of an image, got {_shown(entry, 'image_id', 'file_name')}")


def _find_category(entry: Mapping[str, Any], ids: Mapping[int, int], index: ClassIndex) -> int:
    for key in ("category_id", "category_name"):
        value = entry.get(key)
        if isinstance(value, int) and value in ids:
            return ids[value]
        found = index.by_name(value) if isinstance(value, str) else UNKNOWN_CLASS
        if found != UNKNOWN_CLASS:
            return found
    known = ", ".join(f"{number} {name}" for number, name in zip(ids, index.names[:10], strict=False))
    raise ValueError(
        f"expected the id or the name of a category ({known}), got {_shown(entry, 'category_id', 'category_name')}"
    )


def _box(entry: Mapping[str, Any]) -> tuple[float, float, float, float]:
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)) or min(box[2:]) < 0:
        raise ValueError(f"expected bbox [x, y, width, height], got {box!r}")
    x, y, width, height = box
    return x, y, x + width, y + height


def _score(entry: Mapping[str, Any]) -> float:
    score: Any = entry.get("score")
    if not _is_number(score):
        raise ValueError(f"expected a score, got {score!r}")
    return float(score)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(entry: Mapping[str, Any], *keys: str) -> str:
    return ", ".join(f"{key} {entry[key]!r}" for key in keys if key in entry) or f"neither {' nor '.join(keys)}"


def _detections(rows: list[_Row], most: int) -> Detections:
    best = sorted(rows, key=lambda row: -row[0])[:most]
    return Detections(
        np.array([box for _, _, box in best], np.float32).reshape(-1, 4),
        np.array([score for score, _, _ in best], np.float32),
        np.array([class_id for _, class_id, _ in best], np.int64),
    )

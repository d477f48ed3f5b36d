"""A detector that reads its detections off the image, and a calibration by hand: audits that one can work out on paper.

The network input is 64x64 px with a coarse grid of 4x4 cells. The color in the middle of a cell is a detection whose
box is the cell: red its objectness, green its class. So images are painted cell by cell, and mirrored ones give
mirrored detections.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.app.scoring import YOLO_HEADS, make_spec
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.annotations import ImageLabels, LabelObject
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.data.datasets import LabeledImage
from yoloscope.training.diagnostics.calibration import FEATURES, AuditCalibration, Channel
from yoloscope.training.diagnostics.findings import KINDS, FindingKind

NAMES = ("cat", "dog", "traffic light")
SPEC = make_spec("painted", YOLO_HEADS, "v4")
CELL = 16
_LIMIT = 8.0

Cell = tuple[int, int]
Seen = tuple[float, int]
"""Objectness as a logit in -8 to 8, and class 0 or 1."""


class PaintedDetector:
    """Raw heads by the colors in the middle of the coarse cells; class scores are sigmoid(8), others sigmoid(-8)."""

    def __init__(self, spec: DetectorSpec = SPEC) -> None:
        self.spec = spec
        self.calls = 0

    def heads(self, images: NDArray[np.float32], /) -> Sequence[NDArray[np.float32]]:
        self.calls += 1
        count, classes = len(images), len(self.spec.class_names)
        fine = np.zeros((count, 2, 5 + classes, 8, 8), np.float32)
        coarse = np.zeros((count, 2, 5 + classes, 4, 4), np.float32)
        fine[:, :, 4:] = coarse[:, :, 4:] = -_LIMIT
        middle = CELL // 2
        halves = images[:, middle - 1 :: CELL] + images[:, middle::CELL]
        colors = (halves[:, :, middle - 1 :: CELL] + halves[:, :, middle::CELL]) / 4
        coarse[:, 0, 2], coarse[:, 0, 3] = math.log(CELL / 32), math.log(CELL / 40)
        coarse[:, 0, 4] = (colors[..., 0] / 127.5 - 1) * _LIMIT
        coarse[:, 0, 5] = np.where(colors[..., 1] < 128, _LIMIT, -_LIMIT)
        if classes > 1:
            coarse[:, 0, 6] = -coarse[:, 0, 5]
        return fine.reshape(count, -1, 8, 8), coarse.reshape(count, -1, 4, 4)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def red_of(objectness: float) -> int:
    return round((objectness / _LIMIT + 1) * 127.5)


def score_of(objectness: float) -> float:
    """Score of a detection that is painted with this objectness, after rounding to a whole level of red."""
    return sigmoid((red_of(objectness) / 127.5 - 1) * _LIMIT) * sigmoid(_LIMIT)


def box_of(cell: Cell, scale: float = 1) -> BoxXyxy:
    x, y = cell[0] * CELL * scale, cell[1] * CELL * scale
    return (x, y, x + CELL * scale, y + CELL * scale)


def paint(seen: Mapping[Cell, Seen], scale: int = 1, cells: tuple[int, int] = (4, 4)) -> Image.Image:
    """Paint an image of whole cells, each ``16 * scale`` px wide; what is not painted is black: no object."""
    pixels = np.zeros((cells[1] * CELL * scale, cells[0] * CELL * scale, 3), np.uint8)
    for (column, row), (objectness, class_id) in seen.items():
        side = CELL * scale
        pixels[row * side : (row + 1) * side, column * side : (column + 1) * side] = (
            red_of(objectness),
            255 * class_id,
            0,
        )
    return Image.fromarray(pixels)


def label(class_id: int, box: BoxXyxy, *, crowd: bool = False) -> LabelObject:
    name = NAMES[class_id] if class_id >= 0 else "unicorn"
    return LabelObject(class_id, name, box, "", crowd=crowd)


def labels_of(*objects: LabelObject, width: int = 64, height: int = 64) -> ImageLabels:
    return ImageLabels(objects, width, height, "yolo")


def write_image(path: Path, image: Image.Image, *objects: LabelObject) -> LabeledImage:
    """Write an image and return it with its labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    labels = labels_of(*objects, width=image.width, height=image.height)
    areas = tuple((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (each.box_xyxy_px for each in objects))
    return LabeledImage(path, 1, labels, None, areas)


WEIGHTS: Mapping[FindingKind, Mapping[str, float]] = {
    "missing": {"score": 1},
    "class": {"overlap_other": 1, "overlap_same": -1},
    "location": {"iou": -20},
    "spurious": {"overlap_any": -1},
}
"""The probability of ``missing`` is the score, that of ``spurious`` 1 - score * overlap, that of ``location`` a half at
an overlap of .5; that of ``class`` compares both classes."""
BIASES: Mapping[FindingKind, float] = {"missing": 0, "class": 0, "location": 10, "spurious": 0}


def calibration_by_hand(num_classes: int = 3, prevalence: float = 0.5) -> AuditCalibration:
    """Channels with the weights above, fitted at a prevalence of a half."""
    channels = {
        kind: Channel(
            features=FEATURES[kind],
            mean=(0.0,) * len(FEATURES[kind]),
            scale=(1.0,) * len(FEATURES[kind]),
            weights=tuple(WEIGHTS[kind].get(name, 0.0) for name in FEATURES[kind]),
            bias=BIASES[kind],
            prevalence=prevalence,
        )
        for kind in KINDS
    }
    return AuditCalibration(
        views=("plain", "mirrored"),
        typical_sizes=(0.25,) * num_classes,
        channels=channels,
        data="by hand",
        images=1,
        labels=1,
    )

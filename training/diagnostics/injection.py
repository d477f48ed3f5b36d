"""Inject label errors of known kind and place, to calibrate and to measure an audit.

Protocol: per object at most one error, each kind with the same probability; ``drop`` the label, ``swap`` its class for
another one, ``shift`` and rescale its box until the overlap with the true one is in 0.4 to 0.7; and as many spurious
boxes as that probability makes of the labels, of sizes that labels have, overlapping every true box by less than 0.3.
Source: docs/audit.md; the kinds are those of Schubert et al., Identifying Label Errors in Object Detection Datasets by
Loss Inspection, 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch

from yoloscope.models.boxes import pairwise_iou
from yoloscope.training.data.annotations import ImageLabels, LabelObject, usable_rows
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.diagnostics.findings import FindingKind

SHIFT_IOU: Final = (0.4, 0.7)
SPURIOUS_IOU: Final = 0.3
_LEAST_SIDE_PX: Final = 2.0
_TRIES: Final = 500


@dataclass(frozen=True)
class CorruptedLabels:
    """Labels with injected errors.

    ``kinds`` says for each object of ``labels`` which error it is, None for a true one; ``originals`` what it was,
    None for a spurious one; ``dropped`` are the objects without label.
    """

    labels: ImageLabels
    kinds: tuple[FindingKind | None, ...]
    originals: tuple[LabelObject | None, ...]
    dropped: tuple[LabelObject, ...]


def inject_errors(
    images: Sequence[ImageLabels],
    class_names: Sequence[str],
    seed: int,
    *,
    rate: float = 0.05,
    image_share: float = 1.0,
) -> list[CorruptedLabels]:
    """Return the labels of each image with errors of each kind at ``rate`` in ``image_share`` of the images.

    An image's errors depend on the seed, its position and the sizes of all labels. Crowd regions and labels that
    nothing can learn stay as they are.
    """
    sizes = np.concatenate([_sizes_and_classes(labels) for labels in images]) if images else np.zeros((0, 3))
    return [
        _Injector(np.random.default_rng((seed, index)), class_names, sizes, rate, image_share).corrupt(labels)
        for index, labels in enumerate(images)
    ]


def _sizes_and_classes(labels: ImageLabels) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    rows = [row for row in usable_rows(labels) if not labels.objects[row].crowd]
    boxes = labels.boxes_xyxy_px[rows]
    return np.column_stack((boxes[:, 2:] - boxes[:, :2], labels.class_ids[rows]))


@dataclass(frozen=True)
class _Injector:
    random: np.random.Generator
    class_names: Sequence[str]
    sizes_and_classes: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    rate: float
    image_share: float

    def corrupt(self, labels: ImageLabels) -> CorruptedLabels:
        chosen = self.random.random() < self.image_share
        usable = set(usable_rows(labels))
        objects: list[LabelObject] = []
        kinds: list[FindingKind | None] = []
        originals: list[LabelObject | None] = []
        dropped: list[LabelObject] = []
        for row, label in enumerate(labels.objects):
            kind = self._draw_kind() if chosen and row in usable and not label.crowd else None
            if kind == "missing":
                dropped.append(label)
                continue
            changed = self._changed(label, kind, labels)
            objects.append(changed or label)
            kinds.append(kind if changed else None)
            originals.append(label)
        for _ in range(self.random.binomial(max(len(usable), 1), self.rate) if chosen else 0):
            if extra := self._spurious(labels):
                objects.append(extra)
                kinds.append("spurious")
                originals.append(None)
        return CorruptedLabels(replace(labels, objects=tuple(objects)), tuple(kinds), tuple(originals), tuple(dropped))

    def _draw_kind(self) -> FindingKind | None:
        drawn = self.random.random()
        kinds: tuple[FindingKind, ...] = ("missing", "class", "location")
        return kinds[int(drawn / self.rate)] if drawn < len(kinds) * self.rate else None

    def _changed(self, label: LabelObject, kind: FindingKind | None, labels: ImageLabels) -> LabelObject | None:
        if kind == "class":
            others = [index for index in range(len(self.class_names)) if index != label.class_id]
            if not others:
                return None
            class_id = int(self.random.choice(others))
            return replace(label, class_id=class_id, class_name=self.class_names[class_id])
        if kind == "location":
            box = self._moved(label.box_xyxy_px, labels)
            return box and replace(label, box_xyxy_px=box, shape="box")
        return None

    def _moved(self, box: BoxXyxy, labels: ImageLabels) -> BoxXyxy | None:
        x1, y1, x2, y2 = box
        width, height = x2 - x1, y2 - y1
        for _ in range(_TRIES):
            across, down = self.random.uniform(-0.6, 0.6, 2)
            wider, higher = np.exp(self.random.uniform(-0.5, 0.5, 2))
            center = (x1 + x2) / 2 + across * width, (y1 + y2) / 2 + down * height
            moved = _around(center, (width * wider, height * higher), labels)
            if moved and SHIFT_IOU[0] <= _iou(moved, [box]) <= SHIFT_IOU[1]:
                return moved
        return None

    def _spurious(self, labels: ImageLabels) -> LabelObject | None:
        true_boxes = [label.box_xyxy_px for label in labels.objects]
        for _ in range(_TRIES if len(self.sizes_and_classes) else 0):
            width, height, class_id = self.random.choice(self.sizes_and_classes)
            room = labels.image_width - width, labels.image_height - height
            if min(width, height) < _LEAST_SIDE_PX or min(room) <= 0:
                continue
            x, y = self.random.uniform(0, room)
            box = (float(x), float(y), float(x + width), float(y + height))
            if _iou(box, true_boxes) < SPURIOUS_IOU:
                return LabelObject(int(class_id), self.class_names[int(class_id)], box, "")
        return None


def _around(center: tuple[float, float], size: tuple[float, float], labels: ImageLabels) -> BoxXyxy | None:
    """Return a box cut to the image, None where hardly anything of it is left."""
    (x, y), (width, height) = center, size
    x1, y1 = max(x - width / 2, 0.0), max(y - height / 2, 0.0)
    x2, y2 = min(x + width / 2, float(labels.image_width)), min(y + height / 2, float(labels.image_height))
    if min(x2 - x1, y2 - y1) < _LEAST_SIDE_PX:
        return None
    return float(x1), float(y1), float(x2), float(y2)


def _iou(box: BoxXyxy, others: Sequence[BoxXyxy]) -> float:
    """Return the largest overlap of a box with other ones."""
    if not others:
        return 0.0
    finite = [other for other in others if all(map(math.isfinite, other))]
    overlap = pairwise_iou(torch.tensor([box], dtype=torch.float64), torch.tensor(finite, dtype=torch.float64))
    return float(overlap.max()) if finite else 0.0

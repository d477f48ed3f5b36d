"""The four formulas of YOLOv1 to v4 once more: NumPy, float64, plain loops, nothing shared with the library."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.training.losses.cases import Batch

Array = NDArray[np.float64]
Box = tuple[float, float, float, float]
Object = tuple[int, Box]


def sigmoid(t: Any) -> Any:
    return 1 / (1 + np.exp(-t))


def softmax(t: Array) -> Array:
    e = np.exp(t - t.max())
    return np.asarray(e / e.sum())


def bce(p: float, y: float) -> float:
    return -(y * math.log(p) + (1 - y) * math.log(1 - p))


def iou(a: Box, b: Box) -> float:
    across = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    down = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    shared = max(across, 0.0) * max(down, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def ciou(a: Box, b: Box) -> float:
    cw = max(a[0] + a[2] / 2, b[0] + b[2] / 2) - min(a[0] - a[2] / 2, b[0] - b[2] / 2)
    ch = max(a[1] + a[3] / 2, b[1] + b[3] / 2) - min(a[1] - a[3] / 2, b[1] - b[3] / 2)
    overlap = iou(a, b)
    distance = ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / (cw**2 + ch**2)
    v = 4 / math.pi**2 * (math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])) ** 2
    return overlap - distance - v * v / (1 - overlap + v + 1e-7)


def shape_iou(a: tuple[float, float], b: tuple[float, float]) -> float:
    return iou((0, 0, *a), (0, 0, *b))


def objects_of(batch: Batch) -> list[list[Object]]:
    """Objects (class, box) of every image, in label order."""
    images: list[list[Object]] = [[] for _ in range(batch.truth.batch_size)]
    truth = batch.truth
    for image, kind, box in zip(
        truth.image_index.tolist(), truth.class_ids.tolist(), truth.boxes_cxcywh_norm.tolist(), strict=True
    ):
        images[image].append((kind, (box[0], box[1], box[2], box[3])))
    return images


def v1(batch: Batch) -> float:
    spec = batch.spec.heads[0]
    side, n, classes = spec.grid_width, spec.boxes_per_cell, batch.spec.num_classes
    total = 0.0
    for raw, objects in zip(batch.heads[0].detach().numpy(), objects_of(batch), strict=True):
        scores = raw[: side * side * classes].reshape(side, side, classes)
        confidences = sigmoid(raw[side * side * classes : side * side * (classes + n)].reshape(side, side, n))
        boxes = sigmoid(raw[side * side * (classes + n) :].reshape(side, side, n, 4))
        owners: dict[tuple[int, int], Object] = {}
        for kind, box in objects:
            owners.setdefault((int(box[1] * side), int(box[0] * side)), (kind, box))
        for row in range(side):
            for column in range(side):
                total += _v1_cell(
                    scores[row, column],
                    confidences[row, column],
                    boxes[row, column],
                    owners.get((row, column)),
                    side,
                    (column, row),
                )
    return total / batch.truth.batch_size


def _v1_cell(
    scores: Array, confidences: Array, boxes: Array, owner: Object | None, side: int, cell: tuple[int, int]
) -> float:
    if owner is None:
        return float(0.5 * (confidences**2).sum())
    kind, truth = owner
    overlaps = [iou(((b[0] + cell[0]) / side, (b[1] + cell[1]) / side, b[2], b[3]), truth) for b in boxes]
    best = int(np.argmax(overlaps))
    x, y, w, h = boxes[best]
    cost = 5 * ((x - (truth[0] * side - cell[0])) ** 2 + (y - (truth[1] * side - cell[1])) ** 2)
    cost += 5 * ((math.sqrt(w) - math.sqrt(truth[2])) ** 2 + (math.sqrt(h) - math.sqrt(truth[3])) ** 2)
    cost += (overlaps[best] - confidences[best]) ** 2
    cost += 0.5 * sum(c**2 for j, c in enumerate(confidences) if j != best)
    wanted = np.eye(len(scores))[kind]
    return float(cost + ((wanted - softmax(scores)) ** 2).sum())


def v2(batch: Batch) -> float:
    (head,) = batch.heads
    geometry = batch.spec.heads[0]
    width, height = geometry.grid_width, geometry.grid_height
    anchors = [(w / batch.spec.input_width, h / batch.spec.input_height) for w, h in batch.spec.anchors_px]
    entries = head.detach().numpy().reshape(len(head), len(anchors), -1, height, width)
    total = 0.0
    for raw, objects in zip(entries, objects_of(batch), strict=True):
        owners: dict[tuple[int, int, int], Object] = {}
        for kind, box in objects:
            best = int(np.argmax([shape_iou((box[2], box[3]), anchor) for anchor in anchors]))
            owners[(best, int(box[1] * height), int(box[0] * width))] = (kind, box)
        for a, row, column in _places(len(anchors), height, width):
            t = raw[a, :, row, column]
            x, y = sigmoid(t[0]), sigmoid(t[1])
            w, h = anchors[a][0] * math.exp(t[2]), anchors[a][1] * math.exp(t[3])
            predicted = ((x + column) / width, (y + row) / height, w, h)
            confidence = sigmoid(t[4])
            owner = owners.get((a, row, column))
            if owner is None:
                if max((iou(predicted, box) for _, box in objects), default=0.0) <= 0.6:
                    total += confidence**2
                continue
            kind, box = owner
            offset = (x - (box[0] * width - column)) ** 2 + (y - (box[1] * height - row)) ** 2
            total += (2 - box[2] * box[3]) * (offset + (w - box[2]) ** 2 + (h - box[3]) ** 2)
            total += 5 * (iou(predicted, box) - confidence) ** 2
            total += ((np.eye(len(t) - 5)[kind] - softmax(t[5:])) ** 2).sum()
    return float(total / batch.truth.batch_size)


def v3(batch: Batch) -> float:
    return _v3_or_v4(batch, version=3)


def v4(batch: Batch) -> float:
    return _v3_or_v4(batch, version=4)


def _v3_or_v4(batch: Batch, version: int) -> float:
    spec = batch.spec
    anchors = [(w / spec.input_width, h / spec.input_height) for w, h in spec.anchors_px]
    total = 0.0
    for index, head in enumerate(batch.heads):
        geometry = spec.heads[index]
        own = geometry.anchor_indices
        entries = head.detach().numpy().reshape(len(head), len(own), -1, geometry.grid_height, geometry.grid_width)
        for raw, objects in zip(entries, objects_of(batch), strict=True):
            owners = _owners(objects, anchors, own, geometry.grid_width, geometry.grid_height, version)
            for place in _places(len(own), geometry.grid_height, geometry.grid_width):
                a, row, column = place
                total += _predictor(
                    raw[a, :, row, column],
                    anchors[own[a]],
                    (column, row),
                    (geometry.grid_width, geometry.grid_height),
                    geometry.scale_xy,
                    owners.get(place, []),
                    objects,
                    version,
                )
    return total / batch.truth.batch_size


def _owners(
    objects: list[Object],
    anchors: list[tuple[float, float]],
    own: tuple[int, ...],
    width: int,
    height: int,
    version: int,
) -> dict[tuple[int, int, int], list[Object]]:
    owners: dict[tuple[int, int, int], list[Object]] = {}
    for kind, box in objects:
        overlaps = [shape_iou((box[2], box[3]), anchor) for anchor in anchors]
        best = int(np.argmax(overlaps))
        for position, anchor in enumerate(own):
            if anchor == best or (version == 4 and overlaps[anchor] > 0.213):
                place = (position, int(box[1] * height), int(box[0] * width))
                owners[place] = [*owners.get(place, []), (kind, box)] if version == 4 else [(kind, box)]
    return owners


def _predictor(
    t: Array,
    anchor: tuple[float, float],
    cell: tuple[int, int],
    grid: tuple[int, int],
    scale: float,
    owners: list[Object],
    objects: list[Object],
    version: int,
) -> float:
    x, y = (scale * sigmoid(t[i]) - (scale - 1) / 2 for i in range(2))
    predicted = (
        (x + cell[0]) / grid[0],
        (y + cell[1]) / grid[1],
        anchor[0] * math.exp(t[2]),
        anchor[1] * math.exp(t[3]),
    )
    confidence = sigmoid(t[4])
    if not owners:
        threshold = 0.7 if version == 4 else 0.5
        ignored = max((iou(predicted, box) for _, box in objects), default=0.0) > threshold
        return 0.0 if ignored else bce(confidence, 0)
    cost = bce(confidence, 1)
    wanted = np.zeros(len(t) - 5)
    wanted[[kind for kind, _ in owners]] = 1
    cost += sum(bce(sigmoid(logit), y_true) for logit, y_true in zip(t[5:], wanted, strict=True))
    if version == 4:
        return cost + 5 * sum(1 - ciou(predicted, box) for _, box in owners) / len(owners)
    ((_, box),) = owners
    if shape_iou((box[2], box[3]), anchor) <= 0.5:
        return cost
    targets = [
        _logit(box[0] * grid[0] - cell[0]),
        _logit(box[1] * grid[1] - cell[1]),
        math.log(box[2] / anchor[0]),
        math.log(box[3] / anchor[1]),
    ]
    return float(cost + (2 - box[2] * box[3]) * sum((t[i] - targets[i]) ** 2 for i in range(4)))


def _logit(p: float) -> float:
    return min(max(math.log(p / (1 - p)), -8), 8)


def _places(anchors: int, height: int, width: int) -> Iterator[tuple[int, int, int]]:
    for a in range(anchors):
        for row in range(height):
            for column in range(width):
                yield a, row, column


REFERENCES = {"v1": v1, "v2": v2, "v3": v3, "v4": v4}

"""The losses of the article and the walkthrough once more: NumPy, float64, nothing shared with the library."""

from __future__ import annotations

import numpy as np

from tests.training.losses.cases import Batch
from tests.training.losses.reference import Array, objects_of


def tensors(batch: Batch) -> tuple[Array, Array, Array, Array]:
    """Predicted boxes [B, S, S, n, 4], confidences [B, S, S, n], classes [B, S, S, C]; target [B, S, S, 5+C]."""
    (head,), (spec,) = batch.heads, batch.spec.heads
    flat = head.detach().double().numpy()
    side, n, kinds = spec.grid_width, spec.num_anchors, batch.spec.num_classes
    classes, confidences, boxes = np.split(flat, np.cumsum([side**2 * kinds, side**2 * n]), axis=1)
    target = np.zeros((len(flat), side, side, 5 + kinds))
    for image, objects in enumerate(objects_of(batch)):
        for kind, (x, y, w, h) in objects:
            column, row = int(x * side), int(y * side)
            if not target[image, row, column, 4]:
                target[image, row, column, :5] = x * side - column, y * side - row, w * side, h * side, 1
                target[image, row, column, 5 + kind] = 1
    grid = (len(flat), side, side)
    return boxes.reshape(*grid, n, 4), confidences.reshape(*grid, n), classes.reshape(*grid, kinds), target


def overlap(a: Array, b: Array, eps: float) -> Array:
    low = np.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = np.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    shared = (high - low).clip(0).prod(-1)
    areas = np.abs(a[..., 2:].prod(-1)) + np.abs(b[..., 2:].prod(-1))
    return np.asarray(shared / (areas - shared + eps))


def v1_walkthrough(batch: Batch) -> float:
    boxes, confidences, classes, target = tensors(batch)
    obj = target[..., 4]
    ious = overlap(boxes, target[..., None, :4], 1e-6)
    best = ious.argmax(-1)[..., None]
    box = np.take_along_axis(boxes, best[..., None], -2)[..., 0, :]
    confidence = np.take_along_axis(confidences, best, -1)[..., 0]
    root = np.sign(box[..., 2:]) * np.sqrt(np.abs(box[..., 2:]) + 1e-6)
    place = ((box[..., :2] - target[..., :2]) ** 2).sum(-1) + ((root - np.sqrt(target[..., 2:4])) ** 2).sum(-1)
    seen = (ious.max(-1) - confidence) ** 2
    kind = ((classes - target[..., 5:]) ** 2).sum(-1)
    nothing = (confidences**2).sum(-1)
    return float((obj * (5 * place + seen + kind) + 0.5 * (1 - obj) * nothing).sum() / len(obj))


def article(batch: Batch, variant: str) -> float:
    boxes, confidences, classes, target = tensors(batch)
    box, confidence = boxes[..., 0, :], confidences[..., 0]
    if variant == "mse":
        parts = ((box, target[..., :4]), (confidence, target[..., 4]), (classes, target[..., 5:]))
        return float(sum(((predicted - wanted) ** 2).mean() for predicted, wanted in parts))
    difference = np.abs(box - target[..., :4])
    smooth = np.where(difference < 1, difference**2 / 2, difference - 0.5)
    positive = target[..., 4] > 0
    if variant == "iou":
        positive = overlap(box, target[..., :4], 1e-12) > 0.5
    p = classes.clip(1e-7, 1 - 1e-7)
    kind = -(target[..., 5:] * np.log(p) + (1 - target[..., 5:]) * np.log(1 - p))
    where = positive if variant == "iou" else np.ones_like(positive)
    return float(
        5 * _mean(smooth[where])
        + _mean((confidence[positive] - 1) ** 2)
        + 0.5 * _mean(confidence[~positive] ** 2)
        + _mean(kind[positive])
    )


def _mean(values: Array) -> float:
    """The article's mean of an empty selection is NaN; here it costs nothing."""
    return float(values.mean()) if values.size else 0.0

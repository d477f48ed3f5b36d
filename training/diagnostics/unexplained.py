"""Confident predictions that no label accounts for: objects that may be missing from the labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from yoloscope.models.boxes import FLOOR, area, pairwise_iou
from yoloscope.models.nms import diou_nms
from yoloscope.models.spec import NmsSpec
from yoloscope.training.diagnostics.predictions import Predictions

EXPLAINED_IOU = 0.5
"""A prediction is explained by a label, of whatever class, that it overlaps by at least this much."""
COVERED_BY_CROWD = 0.5
"""A prediction is explained by a crowd region that holds at least this share of it."""


@dataclass(frozen=True)
class Unexplained:
    """A detection without label: the row of its predictor, its best class and that class's score."""

    row: int
    class_id: int
    score: float


@torch.no_grad()
def find_unexplained(
    predictions: Predictions, labels_xyxy_norm: Tensor, crowds_xyxy_norm: Tensor, nms: NmsSpec
) -> list[Unexplained]:
    """Return the model's detections (its own thresholds, after NMS) that are not explained, score descending.

    ``labels_xyxy_norm`` [M, 4] and ``crowds_xyxy_norm`` [K, 4] are fractions of the network input. A predictor that
    detects several classes is named once, with the best.
    """
    rows, classes = (predictions.class_scores > nms.score_threshold).nonzero(as_tuple=True)
    scores = predictions.class_scores[rows, classes]
    kept = diou_nms(predictions.boxes_xyxy_norm[rows], scores, classes, nms.iou_threshold, nms.beta)
    boxes = predictions.boxes_xyxy_norm[rows[kept]]
    free = ~(_overlaps_any(boxes, labels_xyxy_norm) | _covered_by_any(boxes, crowds_xyxy_norm))
    found: dict[int, Unexplained] = {}
    for candidate in kept[free].tolist():
        row = int(rows[candidate])
        found.setdefault(row, Unexplained(row, int(classes[candidate]), float(scores[candidate])))
    return list(found.values())


def _overlaps_any(boxes: Tensor, labels: Tensor) -> Tensor:
    return (pairwise_iou(boxes, labels.to(boxes)) >= EXPLAINED_IOU).any(1)


def _covered_by_any(boxes: Tensor, crowds: Tensor) -> Tensor:
    crowds = crowds.to(boxes)
    low = torch.maximum(boxes[:, None, :2], crowds[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], crowds[None, :, 2:])
    inside = (high - low).clamp_min(0).prod(-1)
    return (inside / area(boxes).clamp_min(FLOOR)[:, None] >= COVERED_BY_CROWD).any(1)

"""The ignore rule: a background predictor whose MaxIoU exceeds a threshold pays nothing for its objectness.

MaxIoU is the best overlap of a predicted box with any object of its image. This is what ``1[MaxIoU < thresh]`` of the
YOLOv2 loss means, darknet's ``ignore_thresh`` ([yolo]) and ``thresh`` ([region]).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from yoloscope.models.boxes import FLOOR
from yoloscope.models.structures import GroundTruth

Planes: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""Four planes [B, A, h, w]: cx, cy, w, h of every predictor."""


@torch.no_grad()
def ignored_predictors(over: Tensor, class_gate: float | None, best_probability: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the predictors that the ignore rule spares, bool [B, A, h, w].

    ``over`` is where MaxIoU exceeds the threshold. With ``class_gate`` (AlexeyAB/darknet src/yolo_layer.c) the best
    class probability must exceed that too; ``best_probability`` gives it, float [n], for flat predictor indices [n].
    """
    if class_gate is None:
        return over
    candidates = over.flatten().nonzero()[:, 0]
    gated = torch.zeros(over.shape, dtype=torch.bool, device=over.device)
    gated.view(-1)[candidates[best_probability(candidates) > class_gate]] = True
    return gated


def padded_boxes_xyxy(ground_truth: GroundTruth, dtype: torch.dtype) -> Tensor:
    """Return the objects as corner boxes [B, K, 4], K the most of any image; empty places are points without area."""
    images = ground_truth.image_index
    place = torch.arange(len(images), device=images.device) - ground_truth.first_rows[images]
    most = int(place.max()) + 1 if len(images) else 0
    boxes = ground_truth.boxes_cxcywh_norm.to(dtype)
    half = boxes[:, 2:] / 2
    padded = boxes.new_zeros(ground_truth.batch_size, most, 4)
    padded[images, place] = torch.cat((boxes[:, :2] - half, boxes[:, :2] + half), dim=-1)
    return padded


@torch.no_grad()
def max_iou(predicted_cxcywh: Planes, padded_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Return MaxIoU and the place of the object it is with.

    ``predicted_cxcywh`` are four planes of one shape [B, ...], ``padded_xyxy`` [B, K, 4]. Both answers have the planes'
    shape; where nothing overlaps they are 0 and place -1. The loop is over the K padded places, never over images,
    cells or single boxes, with the buffers reused: no [B, ..., K] tensor is made.
    """
    x1, y1, x2, y2, area = _corners(predicted_cxcywh)
    best = torch.zeros_like(x1)
    place = torch.full_like(x1, -1, dtype=torch.int64)
    for k in range(padded_xyxy.shape[1]):
        iou = _iou(x1, y1, x2, y2, area, padded_xyxy[:, k])
        better = iou > best
        torch.maximum(best, iou, out=best)
        place.masked_fill_(better, k)
    return best, place


@torch.no_grad()
def exceeds_max_iou(predicted_cxcywh: Planes, padded_xyxy: Tensor, threshold: float) -> Tensor:
    """Return where MaxIoU exceeds ``threshold``, as bool of the planes' shape, without a division per pair.

    IoU > t exactly where intersection * (1 + t) / t - area of the object > area of the prediction; the left side is
    maximized over the objects, and compared once.
    """
    x1, y1, x2, y2, area = _corners(predicted_cxcywh)
    best = torch.full_like(x1, -1.0)
    across, down = torch.empty_like(x1), torch.empty_like(x1)
    factor = (1 + threshold) / max(threshold, FLOOR)
    view = (-1, *([1] * (x1.ndim - 1)))
    for k in range(padded_xyxy.shape[1]):
        left, top, right, bottom = (padded_xyxy[:, k, side].view(view) for side in range(4))
        torch.minimum(x2, right, out=across).sub_(torch.maximum(x1, left, out=down)).clamp_(min=0)
        intersection = across.mul_(factor)
        height = torch.minimum(y2, bottom, out=down).sub_(torch.maximum(y1, top)).clamp_(min=0)
        torch.maximum(best, intersection.mul_(height).sub_((right - left) * (bottom - top)), out=best)
    return best > area


def _corners(planes: Planes) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    x, y, w, h = planes
    half_w, half_h = w / 2, h / 2
    return x - half_w, y - half_h, x + half_w, y + half_h, w * h


def _iou(x1: Tensor, y1: Tensor, x2: Tensor, y2: Tensor, area: Tensor, objects_xyxy: Tensor) -> Tensor:
    view = (-1, *([1] * (x1.ndim - 1)))
    left, top, right, bottom = (objects_xyxy[:, side].view(view) for side in range(4))
    width = torch.minimum(x2, right).sub_(torch.maximum(x1, left)).clamp_(min=0)
    height = torch.minimum(y2, bottom).sub_(torch.maximum(y1, top)).clamp_(min=0)
    intersection = width.mul_(height)
    union = (area + (right - left) * (bottom - top)).sub_(intersection).clamp_(min=FLOOR)
    return intersection.div_(union)

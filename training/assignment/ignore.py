"""The ignore rule: a background predictor whose MaxIoU exceeds a threshold pays nothing for its objectness.

MaxIoU is the best overlap of a predicted box with any object of its image. This is what ``1[MaxIoU < thresh]`` of the
YOLOv2 loss means, darknet's ``ignore_thresh`` ([yolo]) and ``thresh`` ([region]).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import torch
from torch import Tensor

from yoloscope.models.boxes import FLOOR
from yoloscope.models.structures import GroundTruth

Planes: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""Four planes [B, A, h, w]: cx, cy, w, h of every predictor."""
MAX_CELLS: Final = 2**17
"""Bound on the cells that are held against their objects at once."""
ROUNDING: Final = 0.01
"""Cells by which windows of cells are wider than exact numbers would need."""


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


class PredictorsByCell:
    """The predicted boxes of a head cell by cell, to find those of MaxIoU above a threshold near each object.

    ``predicted_cxcywh`` are four planes [B, A, h, w] of boxes with extents of at least 0, whose centers lie at most
    ``reach`` cells outside their cells.
    """

    @torch.no_grad()
    def __init__(self, predicted_cxcywh: Planes, threshold: float, reach: float) -> None:
        self._shape = predicted_cxcywh[0].shape
        corners = torch.stack(_corners(predicted_cxcywh), dim=-1)  # [B, A, h, w, 5]
        self._by_cell = corners.permute(0, 2, 3, 4, 1).flatten(0, 2).contiguous()
        self._threshold, self._reach = threshold, reach

    @torch.no_grad()
    def above_threshold(self, boxes_cxcywh: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pairs of object and flat predictor whose IoU exceeds the threshold, int64 [Q] each.

        ``boxes_cxcywh`` [N, 4] are objects of the images int64 [N]. What exceeds is decided by the very numbers that
        ``exceeds_max_iou`` compares.
        """
        boxes = boxes_cxcywh.to(self._by_cell)
        first, extent = self._windows(boxes)
        size = extent.prod(1)
        at_once = max(1, MAX_CELLS // max(int(size.max()), 1)) if len(size) else 1
        parts = [
            self._exceeding(boxes[rows], images[rows], first[rows], extent[rows], offset=rows.start)
            for rows in (slice(start, start + at_once) for start in range(0, len(size), at_once))
        ]
        objects, predictors = zip(*parts, strict=True) if parts else ((), ())
        none = images.new_zeros(0)
        return torch.cat((none, *objects)), torch.cat((none, *predictors))

    def _windows(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first (column, row) [N, 2] of the cells whose boxes can overlap each object enough, how many.

        For boxes of widths a and b whose centers lie d apart, IoU > t needs b < a / t and
        d < (a + b) * (1 - t) / (2 * (1 + t)), so d < a * (1 - t) / (2 * t).
        """
        _, _, height, width = self._shape
        grid = boxes.new_tensor((width, height))
        apart = boxes[:, 2:] * (1 - self._threshold) / (2 * max(self._threshold, FLOOR))
        margin = self._reach + ROUNDING
        first = ((boxes[:, :2] - apart) * grid - 1 - margin).ceil().clamp_min(0)
        last = torch.minimum(((boxes[:, :2] + apart) * grid + margin).floor(), grid - 1)
        return first.minimum(grid).long(), (last - first + 1).clamp_min(0).long()

    def _exceeding(
        self, boxes: Tensor, images: Tensor, first: Tensor, extent: Tensor, offset: int
    ) -> tuple[Tensor, Tensor]:
        _, num_anchors, height, width = self._shape
        size = extent.prod(1)
        objects = torch.arange(len(size)).repeat_interleave(size)
        step = torch.arange(len(objects)) - (size.cumsum(0) - size)[objects]
        across = extent[objects, 0]
        column, row = first[objects, 0] + step % across, first[objects, 1] + step // across
        image = images[objects]
        half = boxes[:, 2:] / 2
        low, high = boxes[:, :2] - half, boxes[:, :2] + half
        area = (high - low).prod(1)
        left, top, right, bottom = (side[objects, None] for side in (*low.unbind(1), *high.unbind(1)))
        x1, y1, x2, y2, predicted = self._by_cell[(image * height + row) * width + column].unbind(1)
        factor = (1 + self._threshold) / max(self._threshold, FLOOR)
        shared = torch.minimum(x2, right).sub_(torch.maximum(x1, left)).clamp_(min=0).mul_(factor)
        shared.mul_(torch.minimum(y2, bottom).sub_(torch.maximum(y1, top)).clamp_(min=0))
        which, anchor = (shared.sub_(area[objects, None]) > predicted).nonzero(as_tuple=True)
        predictor = ((image[which] * num_anchors + anchor) * height + row[which]) * width + column[which]
        return objects[which] + offset, predictor


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

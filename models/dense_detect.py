"""Detections of raw heads in tensors of fixed shape, for CUDA graphs: dense decoding and loop-free DIoU-NMS.

A CUDA graph replays the same kernels on the same memory, so nothing may depend on how many candidates there are. The
best ``rows`` of each image are compared pair by pair, and suppression is the fixed point of ``models/nms.py`` after a
fixed number of passes. Where that is not the whole result, ``complete`` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from yoloscope.models.decoding import decode_heads
from yoloscope.models.nms import Boxes, box_iou, normalized_distance
from yoloscope.models.spec import DetectorSpec

PASSES: Final = 8
"""A chain of suppressions of this length is settled; they are 2 to 6 long in practice."""
_INDEX_BITS: Final = 2**32


class DenseDetections(NamedTuple):
    """Candidates of a batch, score descending, with which of them suppression keeps.

    ``boxes_xyxy_px`` is [B, K, 4] in network pixels, ``scores``, ``class_ids`` and ``keep`` are [B, K]. Where
    ``complete`` [B] is false, the image has more candidates or longer chains than there was room for.
    """

    boxes_xyxy_px: Tensor
    scores: Tensor
    class_ids: Tensor
    keep: Tensor
    complete: Tensor


def can_be_dense(spec: DetectorSpec) -> bool:
    """Return whether ``dense_detect`` takes heads of a spec: class probabilities are at most 1, and no tree."""
    return all(head.kind == "detection" or head.class_activation in {"sigmoid", "softmax"} for head in spec.heads)


def dense_detect(
    heads: Sequence[Tensor],
    spec: DetectorSpec,
    score_threshold: Tensor,
    iou_threshold: Tensor,
    *,
    rows: int,
    passes: int = PASSES,
) -> DenseDetections:
    """Return up to ``rows`` candidates of each image and which are kept; equal to ``detect`` where ``complete``.

    The thresholds are [B]. Equal scores are in the order of ``decode_heads``, then of classes.
    """
    decoded = decode_heads(heads, spec)
    limit = score_threshold[:, None]
    passing = torch.where(decoded.class_scores > limit[..., None], decoded.class_scores, 0)
    num_classes = passing.shape[2]
    best = passing.amax(2)
    predictor = _highest(best, rows, torch.arange(best.shape[1], device=best.device))
    scores = passing.gather(1, predictor[..., None].expand(-1, -1, num_classes))
    place = (predictor[..., None] * num_classes + torch.arange(num_classes, device=best.device)).flatten(1)
    column = _highest(scores.flatten(1), rows, place)
    score, place = scores.flatten(1).gather(1, column), place.gather(1, column)
    boxes = decoded.boxes_xyxy_norm.gather(1, (place // num_classes)[..., None].expand(-1, -1, 4))
    class_id, valid = place % num_classes, score > 0
    similar = _similar(boxes, iou_threshold[:, None, None], spec.nms.beta)
    rank = torch.arange(column.shape[1], device=best.device)
    similar = similar & (class_id[:, :, None] == class_id[:, None]) & (rank[:, None] < rank)
    keep = before = valid
    for _ in range(passes):
        before, keep = keep, valid & ~(similar & keep[:, :, None]).any(1)
    fits = ((best > 0).sum(1) <= predictor.shape[1]) & ((scores > 0).sum((1, 2)) <= column.shape[1])
    size_px = torch.tensor([spec.input_width, spec.input_height] * 2, dtype=boxes.dtype, device=boxes.device)
    complete = fits & (keep == before).all(1) & (score_threshold >= 0) & (column.shape[1] <= spec.nms.max_candidates)
    return DenseDetections(boxes * size_px, score, class_id, keep, complete)


def _highest(values: Tensor, count: int, index: Tensor) -> Tensor:
    """Return the columns [B, count] of the highest values [B, N], none below 0; of equal ones the lower index first.

    The bits of such floats are in the order of their values.
    """
    bits = values.contiguous().view(torch.int32).to(torch.int64)
    keys = bits * _INDEX_BITS + (_INDEX_BITS - 1 - index)
    return keys.topk(min(count, values.shape[1]), 1)[1]


def _similar(boxes_xyxy_norm: Tensor, iou_threshold: Tensor, beta: float | None) -> Tensor:
    """Return whether the similarity of each pair of boxes [B, K, 4] is above the threshold: [B, K, K]."""
    is_box = torch.isfinite(boxes_xyxy_norm).all(2, keepdim=True)
    columns = torch.where(is_box, boxes_xyxy_norm, 0.0).permute(2, 0, 1)
    first, second = Boxes.of(*columns[..., None]), Boxes.of(*columns[:, :, None])
    iou = box_iou(first, second)
    if beta is None:
        return iou > iou_threshold
    return iou - normalized_distance(first, second) ** beta > iou_threshold

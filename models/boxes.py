"""Axis-aligned boxes: conversions and overlap measures.

``paired`` functions take two broadcastable stacks [..., 4] and answer [...]; ``pairwise`` functions take [N, 4] and
[M, 4] and answer [N, M]. Every measure takes corner boxes (x1, y1, x2, y2) of one frame, in any unit, computes in at
least float32, writes into no argument and is empty-safe.

Degenerate boxes are defined: a negative extent counts as 0, a box without area has IoU 0 with everything, itself
included, and two coincident points have no distance. Denominators are floored at ``FLOOR`` rather than increased by
it, so that every non-degenerate value is exact; the one additive epsilon is ``ALPHA_EPS`` in CIoU, where a perfect box
would be 0 / 0. Gradients are finite everywhere, also at width = height = 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

FLOOR = 1e-12
ALPHA_EPS = 1e-7
POINT_EXTENT = 1e-9


class CiouParts(NamedTuple):
    """The three parts of CIoU, which is ``iou - distance - aspect``; each of the shape of the pairs."""

    iou: Tensor
    distance: Tensor
    aspect: Tensor


def cxcywh_to_xyxy(boxes_cxcywh: Tensor) -> Tensor:
    """Return corner boxes [..., 4] of center boxes [..., 4], in the same frame and unit."""
    center, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return torch.cat((center - half, center + half), dim=-1)


def xyxy_to_cxcywh(boxes_xyxy: Tensor) -> Tensor:
    """Return center boxes [..., 4] of corner boxes [..., 4], in the same frame and unit."""
    low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return torch.cat(((low + high) / 2, high - low), dim=-1)


def area(boxes_xyxy: Tensor) -> Tensor:
    """Return areas [...] of corner boxes [..., 4]; 0 where an extent is negative."""
    extent = _extent(_at_least_float32(boxes_xyxy))
    return extent[..., 0] * extent[..., 1]


def paired_iou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Return intersection over union [...] of boxes taken pair by pair."""
    return _iou_and_union(*_floats(a_xyxy, b_xyxy))[0]


def paired_giou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Return generalized IoU [...], in -1..1: IoU less the enclosing box's share outside the union.

    Source: Rezatofighi et al., Generalized Intersection over Union, 2019, algorithm 1.
    """
    a, b = _floats(a_xyxy, b_xyxy)
    iou, union = _iou_and_union(a, b)
    hull = _hull(a, b)
    hull_area = hull[..., 0] * hull[..., 1]
    return iou - (hull_area - union) / hull_area.clamp_min(FLOOR)


def paired_diou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Return distance IoU [...]: IoU less the squared center distance over the squared enclosing diagonal.

    Source: Zheng et al., Distance-IoU Loss, 2020, equation 7.
    """
    a, b = _floats(a_xyxy, b_xyxy)
    return _iou_and_union(a, b)[0] - _normalized_distance(a, b)


def paired_ciou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Return complete IoU [...] of predictions ``a`` and targets ``b``; see ``paired_ciou_parts``."""
    parts = paired_ciou_parts(a_xyxy, b_xyxy)
    return parts.iou - parts.distance - parts.aspect


def paired_ciou_parts(a_xyxy: Tensor, b_xyxy: Tensor) -> CiouParts:
    """Return the parts of complete IoU, pair by pair.

    ``distance`` is that of DIoU. ``aspect`` is alpha * v with v = 4 / pi^2 * (atan2(w_b, h_b) - atan2(w_a, h_a))^2 and
    alpha = v / ((1 - IoU) + v + ALPHA_EPS), a constant for the gradient. A box whose extents are both below
    ``POINT_EXTENT`` has no aspect: v = 0.

    Source: Zheng et al., Distance-IoU Loss, 2020, equations 8 to 11.
    """
    a, b = _floats(a_xyxy, b_xyxy)
    iou = _iou_and_union(a, b)[0]
    v = _aspect_difference(a, b)
    with torch.no_grad():
        alpha = v / ((1 - iou) + v + ALPHA_EPS)
    return CiouParts(iou, _normalized_distance(a, b), alpha * v)


def pairwise_iou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Return intersection over union [N, M] of every box of ``a`` [N, 4] with every box of ``b`` [M, 4]."""
    return paired_iou(a_xyxy[:, None], b_xyxy[None])


def pairwise_giou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Return generalized IoU [N, M] of every box of ``a`` [N, 4] with every box of ``b`` [M, 4]."""
    return paired_giou(a_xyxy[:, None], b_xyxy[None])


def pairwise_diou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Return distance IoU [N, M] of every box of ``a`` [N, 4] with every box of ``b`` [M, 4]."""
    return paired_diou(a_xyxy[:, None], b_xyxy[None])


def pairwise_ciou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Return complete IoU [N, M] of every prediction ``a`` [N, 4] with every target ``b`` [M, 4]."""
    return paired_ciou(a_xyxy[:, None], b_xyxy[None])


def _at_least_float32(boxes: Tensor) -> Tensor:
    return boxes if boxes.dtype in (torch.float32, torch.float64) else boxes.float()


def _floats(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return _at_least_float32(a), _at_least_float32(b)


def _extent(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0)


def _hull(a: Tensor, b: Tensor) -> Tensor:
    return (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp_min(0)


def _iou_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0)
    intersection = overlap[..., 0] * overlap[..., 1]
    extent_a, extent_b = _extent(a), _extent(b)
    union = extent_a[..., 0] * extent_a[..., 1] + extent_b[..., 0] * extent_b[..., 1] - intersection
    return intersection / union.clamp_min(FLOOR), union


def _normalized_distance(a: Tensor, b: Tensor) -> Tensor:
    twice_offset = (a[..., :2] + a[..., 2:]) - (b[..., :2] + b[..., 2:])
    diagonal = _hull(a, b).square().sum(-1)
    return twice_offset.square().sum(-1) / 4 / diagonal.clamp_min(FLOOR)


def _aspect_difference(a: Tensor, b: Tensor) -> Tensor:
    """Return v of CIoU, 0 where either box is a point."""
    extent_a, extent_b = _extent(a), _extent(b)
    is_point = (extent_a.amax(-1) < POINT_EXTENT) | (extent_b.amax(-1) < POINT_EXTENT)
    angle_a = _angle(extent_a, is_point)
    angle_b = _angle(extent_b, is_point)
    return (4 / math.pi**2) * (angle_b - angle_a).square()


def _angle(extent: Tensor, is_point: Tensor) -> Tensor:
    width = extent[..., 0].masked_fill(is_point, 1.0)
    height = extent[..., 1].masked_fill(is_point, 1.0)
    return torch.atan2(width, height)

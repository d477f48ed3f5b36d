"""Darknet's own box measures and their "gradients" (src/box.c), differences from the papers included.

Boxes are [..., 4] as cx, cy, w, h; every function is paired. ``yoloscope.models.boxes`` has the papers' measures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ALPHA_EPS = 1e-6


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return intersection over union, 0 without overlap (box_iou)."""
    shared = _intersection(a, b)
    union = _area(a) + _area(b) - shared
    return torch.where(shared == 0, shared, shared / union)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Return generalized IoU (box_giou)."""
    width, height = _hull(a, b)
    hull = width * height
    union = _area(a) + _area(b) - _intersection(a, b)
    plain = iou(a, b)
    return torch.where(hull == 0, plain, plain - (hull - union) / hull)


def diou(a: Tensor, b: Tensor, beta: float = 0.6) -> Tensor:
    """Return IoU - (d / c)^beta: the exponent is .6 in box_diou, where the paper has 1 (box_diou, box_diounms)."""
    plain = iou(a, b)
    ratio, diagonal = _distance_ratio(a, b)
    return torch.where(diagonal == 0, plain, plain - ratio**beta)


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Return complete IoU, with exponent 1 (box_ciou)."""
    plain = iou(a, b)
    ratio, diagonal = _distance_ratio(a, b)
    v = 4 / math.pi**2 * (torch.atan(b[..., 2] / b[..., 3]) - torch.atan(a[..., 2] / a[..., 3])) ** 2
    alpha = v / (1 - plain + v + ALPHA_EPS)
    return torch.where(diagonal == 0, plain, plain - (ratio + alpha * v))


def rmse(a: Tensor, b: Tensor) -> Tensor:
    """Return the root of the summed squared differences of the four entries (box_rmse)."""
    return (a - b).square().sum(-1).sqrt()


MEASURES = {"iou": iou, "giou": giou, "diou": diou, "ciou": ciou}


@dataclass(frozen=True)
class _Edges:
    """Edges and centered form of a box, one axis: low, high, center, extent."""

    low: Tensor
    high: Tensor
    center: Tensor
    extent: Tensor


@dataclass(frozen=True)
class _Axis:
    """Share of one axis of a pair in the derivatives."""

    predicted: _Edges
    truth: _Edges

    @property
    def overlap(self) -> Tensor:
        return torch.minimum(self.predicted.high, self.truth.high) - torch.maximum(self.predicted.low, self.truth.low)

    @property
    def hull(self) -> Tensor:
        return torch.maximum(self.predicted.high, self.truth.high) - torch.minimum(self.predicted.low, self.truth.low)

    def overlap_slopes(self) -> tuple[Tensor, Tensor]:
        """Slopes of the overlap by the predicted low and high edge; an equal edge counts as inactive."""
        low = -(self.predicted.low > self.truth.low).to(self.predicted.low)
        return low, (self.predicted.high < self.truth.high).to(low)

    def hull_slopes(self) -> tuple[Tensor, Tensor]:
        """Slopes of the hull by the predicted low and high edge."""
        low = -(self.predicted.low < self.truth.low).to(self.predicted.low)
        return low, (self.predicted.high > self.truth.high).to(low)


def iou_gradient(predicted: Tensor, truth: Tensor, measure: str) -> Tensor:
    """Return darknet's gradient [..., 4] (dx, dy, dw, dh) of an overlap measure, uphill (dx_box_iou).

    Not the derivative: dw and dh of the IoU part are twice it, the enclosing diagonal's part of the distance term has
    the opposite sign in dx and dy, and the aspect term lacks the factor 1 / (w^2 + h^2).
    """
    horizontal, vertical = _axis(predicted, truth, 0), _axis(predicted, truth, 1)
    disjoint = (horizontal.overlap <= 0) | (vertical.overlap <= 0)
    edges_x = _edge_slopes(horizontal, vertical, measure, disjoint)
    edges_y = _edge_slopes(vertical, horizontal, measure, disjoint)
    plain = torch.stack(
        (edges_x[0] + edges_x[1], edges_y[0] + edges_y[1], edges_x[1] - edges_x[0], edges_y[1] - edges_y[0]), dim=-1
    )
    if measure in {"iou", "giou"}:
        return plain
    extra, diagonal = _distance_gradient(horizontal, vertical)
    if measure == "ciou":
        extra = extra + _aspect_gradient(predicted, truth, horizontal, vertical)
    extended = torch.where((diagonal > 0)[..., None], plain + extra, plain)
    return torch.where(disjoint[..., None], extra, extended)


def _edge_slopes(along: _Axis, across: _Axis, measure: str, disjoint: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes of IoU or GIoU by the low and high edge along one axis."""
    shared = along.overlap * across.overlap
    height = across.predicted.high - across.predicted.low
    area = (along.predicted.high - along.predicted.low) * height
    truth_area = (along.truth.high - along.truth.low) * (across.truth.high - across.truth.low)
    union = area + truth_area - shared
    hull = along.hull * across.hull
    slopes = []
    signs = (-1.0, 1.0)
    for sign, overlap_slope, hull_slope in zip(signs, along.overlap_slopes(), along.hull_slopes(), strict=True):
        d_shared = overlap_slope * across.overlap
        d_union = sign * height - d_shared
        slope = torch.where(union > 0, (union * d_shared - shared * d_union) / union**2, 0.0)
        if measure == "giou":
            enclosing = (hull * d_union - union * hull_slope * across.hull) / hull**2
            slope = torch.where(disjoint, enclosing, torch.where(hull > 0, slope + enclosing, slope))
        slopes.append(slope)
    return slopes[0], slopes[1]


def _distance_gradient(horizontal: _Axis, vertical: _Axis) -> tuple[Tensor, Tensor]:
    squared = sum((axis.predicted.center - axis.truth.center) ** 2 for axis in (horizontal, vertical))
    diagonal = horizontal.hull**2 + vertical.hull**2
    centers, extents = [], []
    for axis in (horizontal, vertical):
        low, high = axis.hull_slopes()
        by_center, by_extent = high + low, (high - low) / 2
        pull = 2 * (axis.truth.center - axis.predicted.center) * diagonal
        centers.append((pull - 2 * axis.hull * by_center * squared) / diagonal**2)
        extents.append(2 * axis.hull * by_extent * squared / diagonal**2)
    return torch.stack((*centers, *extents), dim=-1), diagonal


def _aspect_gradient(predicted: Tensor, truth: Tensor, horizontal: _Axis, vertical: _Axis) -> Tensor:
    shared = horizontal.overlap * vertical.overlap
    areas = [
        (horizontal_edges.high - horizontal_edges.low) * (vertical_edges.high - vertical_edges.low)
        for horizontal_edges, vertical_edges in (
            (horizontal.predicted, vertical.predicted),
            (horizontal.truth, vertical.truth),
        )
    ]
    union = areas[0] + areas[1] - shared
    angle = torch.atan(truth[..., 2] / truth[..., 3]) - torch.atan(predicted[..., 2] / predicted[..., 3])
    v = 4 / math.pi**2 * angle**2
    alpha = v / (1 - shared / union + v + ALPHA_EPS)
    by_width = alpha * 8 / math.pi**2 * angle * predicted[..., 3]
    by_height = -alpha * 8 / math.pi**2 * angle * predicted[..., 2]
    zero = torch.zeros_like(by_width)
    return torch.stack((zero, zero, by_width, by_height), dim=-1)


def _axis(predicted: Tensor, truth: Tensor, dim: int) -> _Axis:
    return _Axis(_edges(predicted, dim), _edges(truth, dim))


def _edges(box: Tensor, dim: int) -> _Edges:
    center, extent = box[..., dim], box[..., dim + 2]
    low, high = center - extent / 2, center + extent / 2
    return _Edges(torch.minimum(low, high), torch.maximum(low, high), center, extent)


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    low = torch.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    return (high - low).clamp_min(0).prod(-1)


def _hull(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    low = torch.minimum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.maximum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    extent = high - low
    return extent[..., 0], extent[..., 1]


def _distance_ratio(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    width, height = _hull(a, b)
    diagonal = width**2 + height**2
    return (a[..., :2] - b[..., :2]).square().sum(-1) / diagonal, diagonal


def _area(box: Tensor) -> Tensor:
    return box[..., 2] * box[..., 3]

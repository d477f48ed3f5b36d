"""Raw head entries to boxes, by the decode rule of a preset.

The functions broadcast: they serve the whole grid as planes [B, A, h, w] as well as gathered predictors [R].
"""

from __future__ import annotations

import torch
from torch import Tensor

from yoloscope.training.assignment.geometry import HeadGeometry
from yoloscope.training.losses.presets.base import CenterDecode, ExtentDecode

MAX_LOG_EXTENT = 8.0


def decode_center(raw: Tensor, cell: Tensor | float, scale: float, rule: CenterDecode) -> Tensor:
    """Return centers along one axis in cells.

    ``sigmoid``: s(t) + c. ``scaled``: scale * s(t) - (scale - 1) / 2 + c, which reaches the cell's border
    (document 000, YOLOv4; darknet ``scale_x_y``). ``linear``: t + c.
    """
    if rule == "linear":
        return raw + cell
    inside = torch.sigmoid(raw)
    if rule == "scaled" and scale != 1:
        inside = inside * scale - (scale - 1) / 2
    return inside + cell


def decode_extent(raw: Tensor, anchor_norm: Tensor | float, rule: ExtentDecode) -> Tensor:
    """Return extents along one axis as fractions of the network input.

    ``exp``: p * exp(t), t held within +-8 so that nothing overflows. ``sigmoid``: s(t). ``squared``: t^2, the network
    predicts the root. ``double_sigmoid``: p * (2 s(t))^2. ``linear``: t.
    """
    if rule == "exp":
        return raw.clamp(-MAX_LOG_EXTENT, MAX_LOG_EXTENT).exp() * anchor_norm
    if rule == "double_sigmoid":
        return (2 * torch.sigmoid(raw)).square() * anchor_norm
    if rule == "sigmoid":
        return torch.sigmoid(raw)
    return raw.square() if rule == "squared" else raw


def extent_rule(rule: ExtentDecode, geometry: HeadGeometry) -> ExtentDecode:
    """Return the rule that ``head`` stands for at this head, or the rule itself."""
    if rule != "head":
        return rule
    if geometry.spec.kind == "detection":
        return "squared" if geometry.spec.sqrt_wh else "linear"
    return "double_sigmoid" if geometry.spec.new_coords else "exp"


def decode_planes(
    planes: tuple[Tensor, Tensor, Tensor, Tensor], geometry: HeadGeometry, center: CenterDecode, extent: ExtentDecode
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the boxes of a whole head as four planes [B, A, h, w]: cx, cy, w, h as fractions of the network input."""
    x, y, w, h = planes
    columns = torch.arange(geometry.grid_width, device=x.device, dtype=x.dtype)
    rows = torch.arange(geometry.grid_height, device=x.device, dtype=x.dtype)[:, None]
    anchors = anchor_planes(geometry, x)
    scale = geometry.spec.scale_xy
    return (
        decode_center(x, columns, scale, center).div_(geometry.grid_width),
        decode_center(y, rows, scale, center).div_(geometry.grid_height),
        decode_extent(w, anchors[0], extent),
        decode_extent(h, anchors[1], extent),
    )


def anchor_planes(geometry: HeadGeometry, like: Tensor) -> Tensor:
    """Return anchor extents [2, A, 1, 1] as fractions of the network input; ones where a head has no anchors."""
    if not geometry.anchors_px:
        return like.new_ones(2, geometry.num_anchors, 1, 1)
    return like.new_tensor(geometry.anchors_norm).T[..., None, None]

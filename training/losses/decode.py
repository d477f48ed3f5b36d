"""Raw head tensors to objectness, entries and boxes: decoding with anchors, by the rule of a preset.

A head tensor is by far the largest thing a loss touches. It is never permuted or copied whole: the objectness plane
and the few predictors that have objects are taken out by one autograd function, whose backward pass writes their
gradients into one buffer of the head's size. The decode functions broadcast: they take the whole grid as planes
[B, A, h, w] as well as gathered predictors [R].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from yoloscope.models.layout import BOX, CLASSES, OBJECTNESS, WH, XY, H, W, X, Y
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches
from yoloscope.training.assignment.ignore import Planes

CenterDecode = Literal["sigmoid", "scaled", "linear"]
ExtentDecode = Literal["head", "exp", "sigmoid", "squared", "double_sigmoid", "linear"]

MAX_LOG_EXTENT = 8.0


def decode_center(logits: Tensor, cell: Tensor | float, scale: float, rule: CenterDecode) -> Tensor:
    """Return centers along one axis in cells.

    ``sigmoid``: s(t) + c. ``scaled``: scale * s(t) - (scale - 1) / 2 + c, which reaches the cell's border
    (YOLOv4; darknet ``scale_x_y``). ``linear``: t + c.
    """
    if rule == "linear":
        return logits + cell
    inside = torch.sigmoid(logits)
    if rule == "scaled" and scale != 1:
        inside = inside * scale - (scale - 1) / 2
    return inside + cell


def center_reach(scale: float, rule: CenterDecode) -> float:
    """Return how far outside its cell a decoded center can lie, in cells."""
    if rule == "linear":
        return math.inf
    return abs(scale - 1) / 2 if rule == "scaled" else 0.0


def decode_extent(logits: Tensor, anchor_norm: Tensor | float, rule: ExtentDecode) -> Tensor:
    """Return extents along one axis as fractions of the network input.

    ``exp``: p * exp(t), t held within +-8 so that nothing overflows. ``sigmoid``: s(t). ``squared``: t^2, the network
    predicts the root. ``double_sigmoid``: p * (2 s(t))^2. ``linear``: t.
    """
    if rule == "exp":
        return logits.clamp(-MAX_LOG_EXTENT, MAX_LOG_EXTENT).exp() * anchor_norm
    if rule == "double_sigmoid":
        return (2 * torch.sigmoid(logits)).square() * anchor_norm
    if rule == "sigmoid":
        return torch.sigmoid(logits)
    return logits.square() if rule == "squared" else logits


def extent_rule(rule: ExtentDecode, geometry: HeadGeometry) -> ExtentDecode:
    """Return the rule that ``head`` stands for at this head, or the rule itself."""
    if rule != "head":
        return rule
    if geometry.spec.kind == "detection":
        return "squared" if geometry.spec.sqrt_wh else "linear"
    return "double_sigmoid" if geometry.spec.new_coords else "exp"


def decode_planes(planes: Planes, geometry: HeadGeometry, center: CenterDecode, extent: ExtentDecode) -> Planes:
    """Return the boxes of a whole head as four planes [B, A, h, w]: cx, cy, w, h as fractions of the network input."""
    x, y, w, h = planes
    columns = torch.arange(geometry.grid_width, device=x.device, dtype=x.dtype)
    rows = torch.arange(geometry.grid_height, device=x.device, dtype=x.dtype)[:, None]
    anchors = _anchor_planes(geometry, x)
    scale = geometry.spec.scale_xy
    return (
        decode_center(x, columns, scale, center).div_(geometry.grid_width),
        decode_center(y, rows, scale, center).div_(geometry.grid_height),
        decode_extent(w, anchors[0], extent),
        decode_extent(h, anchors[1], extent),
    )


def _anchor_planes(geometry: HeadGeometry, like: Tensor) -> Tensor:
    """Return anchor extents [2, A, 1, 1] as fractions of the network input; ones where a head has no anchors."""
    if not geometry.anchors_px:
        return like.new_ones(2, geometry.num_anchors, 1, 1)
    return like.new_tensor(geometry.anchors_norm).T[..., None, None]


@torch.no_grad()
def decode_cells(
    head: Tensor, geometry: HeadGeometry, at: tuple[Tensor, Tensor, Tensor], center: CenterDecode, extent: ExtentDecode
) -> Tensor:
    """Return the boxes cx, cy, w, h [R, n, 4] of all predictors of some cells (image, row, column) of a flat head."""
    logits = _detection_parts(head, geometry)[0][at].to(compute_dtype(head))
    cell = torch.stack((at[2], at[1]), dim=-1)[:, None]
    grid = logits.new_tensor((geometry.grid_width, geometry.grid_height))
    xy = decode_center(logits[..., :2], cell, geometry.spec.scale_xy, center) / grid
    return torch.cat((xy, decode_extent(logits[..., 2:], 1.0, extent_rule(extent, geometry))), dim=-1)


def decode_activated_planes(entries: Tensor, geometry: HeadGeometry) -> Planes:
    """Return the boxes of a head whose x and y are activated already, as darknet decodes them, as four planes.

    ``entries`` is [B, A, 5+C, h, w]. Source: AlexeyAB/darknet src/yolo_layer.c, get_yolo_box; src/region_layer.c,
    get_region_box; without the bound that keeps ``exp`` finite here.
    """
    anchors = _anchor_planes(geometry, entries)
    columns = torch.arange(geometry.grid_width, device=entries.device, dtype=entries.dtype)
    rows = torch.arange(geometry.grid_height, device=entries.device, dtype=entries.dtype)[:, None]
    return (
        (entries[:, :, X] + columns) / geometry.grid_width,
        (entries[:, :, Y] + rows) / geometry.grid_height,
        _darknet_extent(entries[:, :, W], anchors[0], geometry),
        _darknet_extent(entries[:, :, H], anchors[1], geometry),
    )


def decode_activated_entries(entries: Tensor, matches: HeadMatches) -> Tensor:
    """Return the boxes cx, cy, w, h [R, 4] of matched predictors, decoded as by ``decode_activated_planes``."""
    geometry = matches.geometry
    cell = torch.stack((matches.columns, matches.rows), dim=-1)
    grid = entries.new_tensor((geometry.grid_width, geometry.grid_height))
    extent = _darknet_extent(entries[:, WH], matched_anchors(matches, entries), geometry)
    return torch.cat(((entries[:, XY] + cell) / grid, extent), dim=-1)


def _darknet_extent(logits: Tensor, anchor_norm: Tensor, geometry: HeadGeometry) -> Tensor:
    return (4 * logits.square() if geometry.spec.new_coords else logits.exp()) * anchor_norm


def matched_anchors(matches: HeadMatches, like: Tensor) -> Tensor:
    """Return the anchor extents [R, 2] of matched predictors as fractions; ones where a head has no anchors."""
    if not matches.geometry.anchors_px:
        return like.new_ones(len(matches), 2)
    return like.new_tensor(matches.geometry.anchors_norm)[matches.anchors]


Index = tuple[Tensor, Tensor, Tensor, Tensor]


def compute_dtype(head: Tensor) -> torch.dtype:
    """Return float64 for float64 heads, else float32: losses are never computed in half precision."""
    return torch.float64 if head.dtype == torch.float64 else torch.float32


def unravel(predictors: Tensor, geometry: HeadGeometry) -> Index:
    """Return (image, anchor, row, column) int64 [P] of flat predictor indices."""
    _, num_anchors, height, width = geometry.shape
    columns, rest = predictors % width, predictors // width
    rows, rest = rest % height, rest // height
    return rest // num_anchors, rest % num_anchors, rows, columns


def objectness_and_entries(head: Tensor, geometry: HeadGeometry, index: Index) -> tuple[Tensor, Tensor]:
    """Return (objectness [B, A, h, w], entries [P, 5+C]) of a raw head, in its compute dtype.

    ``index`` names the P predictors as (images, anchors, rows, columns), each at most once.
    """
    if geometry.spec.kind == "detection":
        return _take_detection(head, geometry, *index)
    return _take(head, geometry.num_anchors, *index)


@torch.no_grad()
def box_planes(head: Tensor, geometry: HeadGeometry) -> Planes:
    """Return the raw x, y, w, h of every predictor as four planes [B, A, h, w], outside the graph."""
    dtype = compute_dtype(head)
    if geometry.spec.kind == "detection":
        boxes = _detection_parts(head, geometry)[0].permute(4, 0, 3, 1, 2).to(dtype).contiguous()
        return boxes[0], boxes[1], boxes[2], boxes[3]
    entries = entries_of(head, geometry.num_anchors)
    planes = (entries[:, :, entry].to(dtype) for entry in range(BOX.start, BOX.stop))
    x, y, w, h = planes if head.is_contiguous() else (plane.contiguous() for plane in planes)
    return x, y, w, h


def box_entries(head: Tensor, geometry: HeadGeometry) -> Tensor:
    """Return the raw boxes of every predictor on the graph, [B, A, 4, h, w]; anchor-based heads only."""
    return entries_of(head, geometry.num_anchors)[:, :, BOX].to(compute_dtype(head))


@torch.no_grad()
def class_logits(head: Tensor, geometry: HeadGeometry, predictors: Tensor) -> Tensor:
    """Return the raw class entries [P, C] of some predictors, outside the graph."""
    return entries_at(head, geometry, unravel(predictors, geometry))[:, CLASSES:]


@torch.no_grad()
def entries_at(head: Tensor, geometry: HeadGeometry, index: Index) -> Tensor:
    """Return the raw entries [P, 5+C] of some predictors, which may repeat, outside the graph."""
    if geometry.spec.kind == "detection":
        return _detection_entries(head, geometry, index).to(compute_dtype(head))
    images, anchors, rows, columns = index
    return entries_of(head, geometry.num_anchors)[images, anchors, :, rows, columns].to(compute_dtype(head))


@torch.no_grad()
def objectness_plane(head: Tensor, geometry: HeadGeometry) -> Tensor:
    """Return the raw objectness of every predictor [B, A, h, w], outside the graph."""
    if geometry.spec.kind == "detection":
        return _detection_parts(head, geometry)[1].permute(0, 3, 1, 2).to(compute_dtype(head))
    return entries_of(head, geometry.num_anchors)[:, :, OBJECTNESS].to(compute_dtype(head))


def entries_of(head: Tensor, num_anchors: int) -> Tensor:
    """Return a raw head [B, A*(5+C), h, w] as [B, A, 5 + C, h, w], a view; anchor-based heads only."""
    batch, channels, height, width = head.shape
    return head.view(batch, num_anchors, channels // num_anchors, height, width)


class _Context(FunctionCtx):
    """Head of the backward pass: shape, dtype and positives."""

    saved_tensors: tuple[Tensor, ...]
    shape: torch.Size
    dtype: torch.dtype
    memory_format: torch.memory_format
    num_anchors: int


class _ObjectnessAndEntries(Function):
    """Takes the objectness plane and some predictors out of a head [B, A*(5+C), h, w]."""

    @staticmethod
    def forward(
        ctx: _Context, head: Tensor, num_anchors: int, images: Tensor, anchors: Tensor, rows: Tensor, columns: Tensor
    ) -> tuple[Tensor, Tensor]:
        dtype = compute_dtype(head)
        entries = entries_of(head, num_anchors)
        ctx.save_for_backward(images, anchors, rows, columns)
        ctx.shape, ctx.dtype, ctx.num_anchors = head.shape, head.dtype, num_anchors
        channels_last = head.is_contiguous(memory_format=torch.channels_last) and not head.is_contiguous()
        ctx.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        plane = entries[:, :, OBJECTNESS].to(dtype, copy=True, memory_format=torch.contiguous_format)
        return plane, entries[images, anchors, :, rows, columns].to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, plane_gradient: Tensor, entries_gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, anchors, rows, columns = ctx.saved_tensors
        gradient = torch.empty(
            ctx.shape, dtype=ctx.dtype, device=plane_gradient.device, memory_format=ctx.memory_format
        ).zero_()
        entries = entries_of(gradient, ctx.num_anchors)
        entries[:, :, OBJECTNESS] = plane_gradient
        own = entries_gradient.clone()
        own[:, OBJECTNESS] += plane_gradient[images, anchors, rows, columns]
        entries[images, anchors, :, rows, columns] = own.to(ctx.dtype)
        return gradient, None, None, None, None, None


_take = cast("Callable[..., tuple[Tensor, Tensor]]", _ObjectnessAndEntries.apply)


class _DetectionContext(FunctionCtx):
    """Flat head of the backward pass: shape, dtype and positives."""

    saved_tensors: tuple[Tensor, ...]
    shape: torch.Size
    dtype: torch.dtype
    geometry: HeadGeometry


class _DetectionObjectnessAndEntries(Function):
    """Takes the confidences and some predictors out of a flat YOLOv1 head; predictors of a cell share its classes."""

    @staticmethod
    def forward(
        ctx: _DetectionContext,
        head: Tensor,
        geometry: HeadGeometry,
        image: Tensor,
        box: Tensor,
        row: Tensor,
        column: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(image, box, row, column)
        ctx.shape, ctx.dtype, ctx.geometry = head.shape, head.dtype, geometry
        dtype = compute_dtype(head)
        entries = _detection_entries(head, geometry, (image, box, row, column))
        return _detection_parts(head, geometry)[1].permute(0, 3, 1, 2).to(dtype).contiguous(), entries.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: _DetectionContext, plane_gradient: Tensor, entries_gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, box, row, column = ctx.saved_tensors
        gradient = torch.zeros(ctx.shape, dtype=ctx.dtype, device=plane_gradient.device)
        boxes, confidences, classes = _detection_parts(gradient, ctx.geometry)
        own = entries_gradient.to(ctx.dtype)
        confidences.copy_(plane_gradient.permute(0, 2, 3, 1))
        at = image, row, column
        confidences[(*at, box)] += own[:, OBJECTNESS]
        boxes[(*at, box)] = own[:, BOX]
        classes.index_put_(at, own[:, CLASSES:], accumulate=True)
        return gradient, None, None, None, None, None


_take_detection = cast("Callable[..., tuple[Tensor, Tensor]]", _DetectionObjectnessAndEntries.apply)


def _detection_parts(head: Tensor, geometry: HeadGeometry) -> tuple[Tensor, Tensor, Tensor]:
    """Return views of a flat head: boxes [B, S, S, n, 4], confidences [B, S, S, n], classes [B, S, S, C]."""
    layout = geometry.spec.detection_layout(geometry.num_classes)
    batch, n, height, width = geometry.shape
    cells = (batch, height, width)
    return (
        head[:, layout.boxes].view(*cells, n, 4),
        head[:, layout.confidences].view(*cells, n),
        head[:, layout.classes].view(*cells, geometry.num_classes),
    )


def _detection_entries(head: Tensor, geometry: HeadGeometry, index: Index) -> Tensor:
    """Return box, confidence and the cell's classes [P, 5+C] of some predictors of a flat head."""
    image, box, row, column = index
    boxes, confidences, classes = _detection_parts(head, geometry)
    at = image, row, column
    return torch.cat((boxes[(*at, box)], confidences[(*at, box)][:, None], classes[at]), dim=-1)


class _BoundContext(FunctionCtx):
    limit: float


class _Bound(Function):
    @staticmethod
    def forward(ctx: _BoundContext, x: Tensor, limit: float) -> Tensor:
        ctx.limit = limit
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: _BoundContext, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.clamp(-ctx.limit, ctx.limit), None


_bound = cast("Callable[[Tensor, float], Tensor]", _Bound.apply)


def bound_gradient(x: Tensor, limit: float | None) -> Tensor:
    """Return ``x`` itself; what flows back through it is clamped to +-``limit``, entry by entry (None: no bound)."""
    return x if limit is None else _bound(x, limit)

"""Decoding of raw heads to boxes and class scores; one function per kind of head, all exportable to ONNX.

Rows are ordered head by head, then anchor, row, column. Everything is float32, whatever the heads are. A hierarchy of
classes is that of YOLO9000 (section 4; darknet src/tree.c).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from yoloscope.models import layout
from yoloscope.models.errors import SpecError
from yoloscope.models.spec import ClassTree, DetectorSpec, HeadSpec

MAX_LOG_SIZE = 30.0


class Decoded(NamedTuple):
    """Decoded predictions of all heads, before any threshold.

    ``boxes_xyxy_norm`` is [B, N, 4] as fractions of the network input, unclipped; ``class_scores`` is [B, N, C],
    objectness times class probability.
    """

    boxes_xyxy_norm: Tensor
    class_scores: Tensor


class Predictors(NamedTuple):
    """One anchor-based head before its classes are activated.

    ``boxes_xyxy_norm`` is [B, A*cells, 4], ``confidence`` (objectness, in a Gaussian head times certainty) and
    ``class_logits`` are [B, A, cells] and [B, A, C, cells].
    """

    boxes_xyxy_norm: Tensor
    confidence: Tensor
    class_logits: Tensor


def decode_heads(heads: Sequence[Tensor], spec: DetectorSpec) -> Decoded:
    """Decode the raw heads [B, A*(5+C), h, w] (YOLOv1: [B, S*S*(C+5n)]) of one batch.

    With a class tree, C counts ``spec.class_names``: the reported nodes with their absolute probabilities, or all
    nodes, of which only the deepest one that is more likely than not scores. Predicted log sizes above 30 count as 30,
    which keeps every box finite. Raises SpecError where number or shape of the heads contradicts the spec.
    """
    check_heads(heads, spec)
    parts = [_decode_head(heads[index].float(), spec, index) for index in range(len(heads))]
    if len(parts) == 1:
        return parts[0]
    return Decoded(
        torch.cat([part.boxes_xyxy_norm for part in parts], 1), torch.cat([part.class_scores for part in parts], 1)
    )


def check_heads(heads: Sequence[Tensor], spec: DetectorSpec) -> None:
    """Raise SpecError where number or shape of the raw heads contradicts the spec."""
    if len(heads) != len(spec.heads):
        raise SpecError(f"expected {len(spec.heads)} heads, got {len(heads)}")
    for index, head in enumerate(heads):
        expected = spec.head_shape(index, 1)[1:]
        if tuple(head.shape[1:]) != expected:
            raise SpecError(f"head {index}: expected [B, {', '.join(map(str, expected))}], got {list(head.shape)}")


def _decode_head(head: Tensor, spec: DetectorSpec, index: int) -> Decoded:
    if spec.heads[index].kind == "detection":
        return decode_detection(head, spec.heads[index], spec.num_classes)
    return _decode_anchored(head, spec, index)


def decode_detection(head: Tensor, spec: HeadSpec, num_classes: int) -> Decoded:
    """Decode a YOLOv1 head (darknet src/detection_layer.c, get_detection_detections); logistic with ``activation``."""
    flat = spec.detection_layout(num_classes)
    cells, boxes = flat.cells, spec.boxes_per_cell
    logits = head[:, flat.classes].reshape(-1, 1, cells, num_classes).transpose(2, 3)
    confidences = _activated(head[:, flat.confidences], spec).reshape(-1, cells, boxes).transpose(1, 2)
    entries = _activated(head[:, flat.boxes], spec).reshape(-1, cells, boxes, 4).permute(0, 2, 3, 1)
    sizes = entries[:, :, layout.WH]
    if spec.sqrt_wh:
        sizes = sizes * sizes
    scores = confidences[:, :, None] * class_probabilities(logits, spec, None)
    return Decoded(_corners(entries[:, :, layout.XY], sizes, spec), scores.transpose(2, 3).flatten(1, 2))


def decode_predictors(head: Tensor, spec: DetectorSpec, index: int) -> Predictors:
    """Decode the boxes and confidences of one v2, v3 or v4 head [B, A*(5+C), h, w]; its classes are left for later."""
    head_spec = spec.heads[index]
    cells = head_spec.grid_height * head_spec.grid_width
    channels = head.shape[1] // head_spec.num_anchors
    entries = head.reshape(-1, head_spec.num_anchors, channels, cells)
    if head_spec.kind == "gaussian_yolo":
        means, confidence, logits = _gaussian_entries(entries)
    else:
        means = entries[:, :, layout.BOX]
        confidence = _activated(entries[:, :, layout.OBJECTNESS], head_spec)
        logits = entries[:, :, layout.CLASSES :]
    centers = _activated(means[:, :, layout.XY], head_spec)
    scale = head_spec.scale_xy
    centers = centers * scale - 0.5 * (scale - 1)
    anchors = torch.tensor(spec.head_anchors_px(index), device=head.device)
    anchors = anchors / torch.tensor([spec.input_width, spec.input_height], device=head.device)
    sizes = _size_factors(means[:, :, layout.WH], head_spec) * anchors[None, :, :, None]
    return Predictors(_corners(centers, sizes, head_spec), confidence, logits)


def _decode_anchored(head: Tensor, spec: DetectorSpec, index: int) -> Decoded:
    """Decode a v2, v3 or v4 head (darknet src/region_layer.c, src/yolo_layer.c, src/gaussian_yolo_layer.c)."""
    boxes, confidence, logits = decode_predictors(head, spec, index)
    scores = confidence[:, :, None] * class_probabilities(logits, spec.heads[index], spec.class_tree)
    return Decoded(boxes, scores.transpose(2, 3).flatten(1, 2))


def _gaussian_entries(entries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return box means [B, A, 4, cells], objectness less the mean uncertainty [B, A, cells], and class logits."""
    means = entries[:, :, layout.GAUSSIAN_MEANS[0] : layout.GAUSSIAN_MEANS[-1] + 1 : 2]
    sigmas = entries[:, :, layout.GAUSSIAN_SIGMAS[0] : layout.GAUSSIAN_SIGMAS[-1] + 1 : 2]
    certainty = 1 - sigmas.sigmoid().mean(2)
    confidence = entries[:, :, layout.GAUSSIAN_OBJECTNESS].sigmoid() * certainty
    return means, confidence, entries[:, :, layout.GAUSSIAN_CLASSES :]


def _activated(values: Tensor, spec: HeadSpec) -> Tensor:
    return values.sigmoid() if spec.activation == "sigmoid" else values


def _size_factors(values: Tensor, spec: HeadSpec) -> Tensor:
    """Return box sizes as multiples of the anchor."""
    if spec.new_coords:
        doubled = _activated(values, spec) * 2
        return doubled * doubled
    return values.clamp(max=MAX_LOG_SIZE).exp()


def class_probabilities(logits: Tensor, spec: HeadSpec, tree: ClassTree | None) -> Tensor:
    """Return the class probabilities [B, A, C, cells] of logits of that shape (C may change with a class tree)."""
    if spec.class_activation == "softmax":
        return logits.softmax(2)
    if spec.class_activation == "tree":
        if tree is None:
            raise SpecError("expected a class_tree beside class_activation 'tree', got none")
        absolute = tree_probabilities(logits, tree)
        return absolute[:, :, list(tree.reported)] if tree.reported else deepest_likely(absolute, tree)
    return logits if spec.class_activation == "none" else _activated(logits, spec)


def _corners(centers: Tensor, sizes: Tensor, spec: HeadSpec) -> Tensor:
    """Return corner boxes [B, A*cells, 4] of centers within their cells and sizes, both [B, A, 2, cells]."""
    cells = torch.arange(spec.grid_height * spec.grid_width, device=centers.device)
    grid = torch.stack((cells % spec.grid_width, cells // spec.grid_width)).float()
    extent = torch.tensor([[spec.grid_width], [spec.grid_height]], device=centers.device)
    centers = (centers + grid) / extent
    half = sizes / 2
    return torch.cat((centers - half, centers + half), 2).transpose(2, 3).flatten(1, 2)


def tree_probabilities(logits: Tensor, tree: ClassTree) -> Tensor:
    """Return the absolute probability of every node of logits [B, A, C, cells], in the same shape.

    A softmax within each group of siblings gives the probability given the parent; the product along the path to the
    root is absolute. The product is taken by pointer doubling, so that it needs log2(depth) steps.
    """
    groups = torch.arange(len(tree.group_sizes)).repeat_interleave(torch.tensor(tree.group_sizes)).to(logits.device)
    absolute = _grouped_softmax(logits, groups, len(tree.group_sizes))
    absolute = torch.cat((absolute, torch.ones_like(absolute[:, :, :1])), 2)
    root = len(tree.parents)
    ancestors = [parent if parent >= 0 else root for parent in tree.parents] + [root]
    while any(ancestor != root for ancestor in ancestors):
        absolute = absolute * absolute[:, :, ancestors]
        ancestors = [ancestors[ancestor] for ancestor in ancestors]
    return absolute[:, :, :root]


def deepest_likely(absolute: Tensor, tree: ClassTree) -> Tensor:
    """Return the probabilities [B, A, C, cells] of the deepest nodes above one half; 0 everywhere else.

    Such nodes form a single path, since siblings share the probability of their parent.
    """
    likely = absolute > 0.5
    depth = torch.tensor(_depths(tree), device=absolute.device)[:, None]
    deepest = torch.where(likely, depth, -1).amax(2, keepdim=True)
    return torch.where(likely & (depth == deepest), absolute, torch.zeros_like(absolute))


def _depths(tree: ClassTree) -> list[int]:
    depths: list[int] = []
    for parent in tree.parents:
        depths.append(0 if parent < 0 else depths[parent] + 1)
    return depths


def _grouped_softmax(logits: Tensor, groups: Tensor, num_groups: int) -> Tensor:
    """Return the softmax over dimension 2 within runs of equal group number."""
    index = groups[None, None, :, None].expand_as(logits)
    shape = (logits.shape[0], logits.shape[1], num_groups, logits.shape[3])
    highest = logits.new_full(shape, -math.inf).scatter_reduce(2, index, logits, "amax")
    powers = (logits - highest[:, :, groups]).exp()
    totals = logits.new_zeros(shape).scatter_add(2, index, powers)
    return powers / totals[:, :, groups]

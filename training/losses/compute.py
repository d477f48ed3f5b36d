"""Compute a YOLO loss from raw heads: decode, assign, cost, report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor

from yoloscope.models.errors import LabelError, LossError, PresetError
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import HeadGeometry, head_geometries
from yoloscope.training.losses.costs import HeadCosts, require_finite
from yoloscope.training.losses.names import Detail
from yoloscope.training.losses.preset import LossInputs, LossPreset, Normalizer
from yoloscope.training.losses.presets import PRESETS
from yoloscope.training.losses.report import LossReport


def compute_loss(
    heads: Sequence[Tensor],
    ground_truth: GroundTruth,
    spec: DetectorSpec,
    preset: str | LossPreset | None = None,
    detail: Detail = "summary",
    *,
    images_seen: int | None = None,
    divisor: float | None = None,
) -> LossReport:
    """Compute the YOLO loss of raw heads against ground truth, with its breakdown by term, scale, image and object.

    Costs are summed over cells and averaged over the images of the batch: an image's loss is the same alone and in
    any batch, and averaging the totals of equal parts of a batch, over accumulation steps or ranks, gives the total of
    the whole. ``divisor`` replaces the preset's own normalizer, where the parts are not equal.

    ``heads`` are the network's raw outputs in the order of ``spec.heads``; half precision is computed in float32.
    ``preset`` is a name of ``PRESETS`` or a preset, by default the one of ``spec.loss``; where the name is the spec's
    own, the keys of ``spec.loss.overrides`` apply.
    ``images_seen`` is how many images training has seen, for presets with an early phase; None: long past it.
    ``detail``: ``objects`` keeps what ``by_object`` and ``assignment`` need, ``cells`` also ``by_cell``.

    Raises SpecError, LabelError, PresetError, LossError for another detail, or NonFiniteLossError naming image,
    object and term.
    """
    if detail not in get_args(Detail):
        raise LossError(f"detail: expected one of {', '.join(get_args(Detail))}, got {detail!r}")
    geometries = head_geometries(heads, spec)
    resolved = get_preset(preset, spec)
    if ground_truth.weights is not None and not resolved.is_formula:
        raise PresetError(f"preset {resolved.name!r} knows no weights of objects; only formula presets do")
    truth = checked_ground_truth(_at_heads(ground_truth, heads[0]), geometries)
    with torch.autocast(device_type=heads[0].device.type, enabled=False):
        return _report(LossInputs(heads, geometries, truth, spec, images_seen), resolved, detail, divisor)


def _report(inputs: LossInputs, preset: LossPreset, detail: Detail, divisor: float | None) -> LossReport:
    costs = preset.costs(inputs)
    table = costs.by_head_term_image
    term_weights = table.detach().new_tensor(preset.term_weights(len(costs.heads)))
    normalizer = preset.normalized_by
    divided_by = divisor if divisor is not None else natural_divisor(normalizer, costs.heads)
    total = (table.sum(2) * term_weights).sum() / divided_by
    require_finite(total, costs.heads, table)
    return LossReport(
        total=total,
        preset=preset.name,
        version=preset.version,
        normalizer=normalizer if divisor is None else "given",
        divisor=divided_by,
        detail=detail,
        num_objects=len(inputs.truth),
        heads=tuple(head.detached() for head in costs.heads),
        costs_by_head_term_image=table.detach(),
        term_weights=term_weights,
        darknet=costs.darknet,
    )


def get_preset(preset: str | LossPreset | None, spec: DetectorSpec) -> LossPreset:
    """Return the preset to compute for a detector; raise PresetError if there is none or it does not fit its heads.

    None stands for the spec's own preset. The spec's overrides apply where the name is the spec's own.
    """
    if preset is None:
        preset = spec.loss.preset
    found = _named(preset, spec) if isinstance(preset, str) else preset
    if any(head.kind == "gaussian_yolo" for head in spec.heads):
        raise PresetError("gaussian_yolo heads have no loss preset: their boxes carry an uncertainty that none defines")
    if spec.class_tree is not None or any(head.class_activation == "tree" for head in spec.heads):
        raise PresetError("a detector with hierarchical classes has no loss preset")
    found.require_fit(spec)
    return found


def _named(name: str, spec: DetectorSpec) -> LossPreset:
    if name not in PRESETS:
        raise PresetError(f"unknown loss preset {name!r}; known presets: {', '.join(PRESETS)}")
    own = name == spec.loss.preset and spec.loss.overrides
    return PRESETS[name].with_overrides(spec.loss.overrides) if own else PRESETS[name]


def natural_divisor(normalizer: Normalizer, heads: Sequence[HeadCosts]) -> float:
    """Return the divisor of the sums of a batch: images, positives, predictors, or 1."""
    batch = heads[0].geometry.batch_size
    if normalizer == "images":
        return float(max(batch, 1))
    if normalizer == "positives":
        return float(max(sum(len(head.positives) for head in heads), 1))
    if normalizer == "cells":
        return float(sum(head.assignment.ignored.numel() for head in heads))
    return 1.0


def checked_ground_truth(truth: GroundTruth, geometries: Sequence[HeadGeometry]) -> GroundTruth:
    """Return the ground truth as the losses take it; raise LabelError naming the first object that is wrong."""
    batch, classes = geometries[0].batch_size, geometries[0].num_classes
    if truth.batch_size != batch:
        raise LabelError(f"expected ground truth of {batch} images, got {truth.batch_size}")
    boxes, class_ids = truth.boxes_cxcywh_norm, truth.class_ids
    limit = boxes.new_tensor((1.0, 1.0, torch.finfo(boxes.dtype).max, torch.finfo(boxes.dtype).max))
    good = ((boxes >= 0) & (boxes <= limit)).all(-1) & (class_ids >= 0) & (class_ids < classes)
    if not bool(good.all()):
        raise LabelError(_fault(truth, int((~good).nonzero()[0, 0]), classes))
    return truth


def _fault(truth: GroundTruth, which: int, classes: int) -> str:
    x, y, w, h = (float(value) for value in truth.boxes_cxcywh_norm[which])
    if not all(math.isfinite(value) for value in (x, y, w, h)):
        expected = "a finite box"
    elif not (0 <= x <= 1 and 0 <= y <= 1):
        expected = "a center in 0..1"
    elif w < 0 or h < 0:
        expected = "width and height of at least 0"
    else:
        expected = f"a class in 0..{classes - 1}"
    return (
        f"image {int(truth.image_index[which])}, object {which}: expected {expected}, "
        f"got class {int(truth.class_ids[which])} at ({x:g}, {y:g}, {w:g}, {h:g})"
    )


def _at_heads(truth: GroundTruth, head: Tensor) -> GroundTruth:
    """Return the ground truth on the device of the heads, in float32 or float64."""
    boxes = truth.boxes_cxcywh_norm
    if boxes.device != head.device:
        truth = truth.to(head.device)
    if boxes.dtype in {torch.float32, torch.float64}:
        return truth
    return replace(truth, boxes_cxcywh_norm=truth.boxes_cxcywh_norm.float())

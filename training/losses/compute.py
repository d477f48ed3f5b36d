"""The one entry to all losses."""

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
from yoloscope.training.assignment.geometry import HeadGeometry, head_geometries
from yoloscope.training.losses.autograd import formula_ledgers
from yoloscope.training.losses.costs import TERMS, HeadLedger, require_finite, weigh_objects
from yoloscope.training.losses.darknet.deltas import DarknetState
from yoloscope.training.losses.darknet.losses import darknet_ledgers
from yoloscope.training.losses.darknet.presets import DarknetPreset
from yoloscope.training.losses.grid import article_ledgers, grid_weights, walkthrough_ledgers
from yoloscope.training.losses.presets.article import ArticlePreset
from yoloscope.training.losses.presets.base import Preset
from yoloscope.training.losses.presets.registry import AnyPreset, resolve_preset
from yoloscope.training.losses.presets.walkthrough import WalkthroughPreset
from yoloscope.training.losses.report import Detail, LossReport


def compute_loss(
    heads: Sequence[Tensor],
    ground_truth: GroundTruth,
    spec: DetectorSpec,
    preset: str | AnyPreset | None = "v4",
    detail: Detail = "summary",
    *,
    images_seen: int | None = None,
    divisor: float | None = None,
) -> LossReport:
    """Score raw heads against ground truth, and return the loss with its account.

    Costs are summed over cells and averaged over the images of the batch: an image's loss is the same alone and in
    any batch, and averaging the totals of equal parts of a batch, over accumulation steps or ranks, gives the total of
    the whole. ``divisor`` replaces the preset's own normalizer, where the parts are not equal.

    ``heads`` are the network's raw outputs in the order of ``spec.heads``; half precision is computed in float32.
    ``preset`` is a name or a preset; the keys of ``spec.loss.overrides`` apply where it is the spec's own preset.
    ``images_seen`` is how many images training has seen, for presets with an early phase; None: long past it.
    ``detail``: ``objects`` keeps what ``by_object`` and ``assignment`` need, ``cells`` also ``by_cell``.

    Raises SpecError, LabelError, PresetError, LossError for another detail, or NonFiniteLossError naming image,
    object and term.
    """
    if detail not in get_args(Detail):
        raise LossError(f"detail: expected one of {', '.join(get_args(Detail))}, got {detail!r}")
    geometries = head_geometries(heads, spec)
    resolved = resolve_preset(preset, spec)
    if ground_truth.weights is not None and not isinstance(resolved, Preset):
        raise PresetError(f"preset {resolved.name!r} knows no weights of objects; only formula presets do")
    truth = checked_ground_truth(_at_heads(ground_truth, heads[0]), geometries)
    with torch.autocast(device_type=heads[0].device.type, enabled=False):
        return _report(heads, geometries, truth, spec, resolved, detail, images_seen, divisor)


def _report(
    heads: Sequence[Tensor],
    geometries: Sequence[HeadGeometry],
    truth: GroundTruth,
    spec: DetectorSpec,
    preset: AnyPreset,
    detail: Detail,
    images_seen: int | None,
    divisor: float | None,
) -> LossReport:
    ledgers: tuple[HeadLedger, ...]
    darknet: DarknetState | None = None
    if isinstance(preset, DarknetPreset):
        ledgers, cube, darknet = darknet_ledgers(heads, geometries, truth, spec, preset, images_seen)
    else:
        ledgers = _autograd_ledgers(heads, geometries, truth, spec, preset, images_seen)
        cube = torch.stack([ledger.by_image() for ledger in ledgers])
    factors = weight_table(preset, len(heads), cube.detach())
    normalizer = _normalizer(preset)
    divided_by = divisor if divisor is not None else natural_divisor(normalizer, ledgers)
    total = (cube.sum(2) * factors).sum() / divided_by
    require_finite(total, ledgers, cube)
    return LossReport(
        total=total,
        preset=preset.name,
        version=preset.version,
        normalizer=normalizer if divisor is None else "given",
        divisor=divided_by,
        detail=detail,
        num_objects=len(truth),
        ledgers=tuple(ledger.detached() for ledger in ledgers),
        raw_cube=cube.detach(),
        factors=factors,
        darknet=darknet,
    )


def _autograd_ledgers(
    heads: Sequence[Tensor],
    geometries: Sequence[HeadGeometry],
    truth: GroundTruth,
    spec: DetectorSpec,
    preset: Preset | WalkthroughPreset | ArticlePreset,
    images_seen: int | None,
) -> tuple[HeadLedger, ...]:
    if isinstance(preset, Preset):
        ledgers = formula_ledgers(heads, geometries, truth, spec, preset, images_seen)
        return ledgers if truth.weights is None else tuple(weigh_objects(each, truth.weights) for each in ledgers)
    if isinstance(preset, WalkthroughPreset):
        return walkthrough_ledgers(heads, geometries, truth)
    return article_ledgers(heads, geometries, truth, preset)


def weight_table(preset: AnyPreset, num_heads: int, like: Tensor) -> Tensor:
    """Return the factor [H, T] of every term of every head; raise PresetError where a tuple is not one per head."""
    if not isinstance(preset, Preset):
        weights = {} if isinstance(preset, DarknetPreset) else grid_weights(preset)
        return like.new_tensor([[weights.get(term, 1.0) for term in TERMS]] * num_heads)
    columns = [_per_head(getattr(preset.weights, term), num_heads, f"weights.{term}") for term in TERMS]
    scales = _per_head(preset.scale_weights or 1.0, num_heads, "scale_weights")
    return like.new_tensor([[column[head] * scale for column in columns] for head, scale in enumerate(scales)])


def _normalizer(preset: AnyPreset) -> str:
    if isinstance(preset, Preset):
        return preset.normalizer
    return "none" if isinstance(preset, ArticlePreset) else "images"


def natural_divisor(normalizer: str, ledgers: Sequence[HeadLedger]) -> float:
    """Return what the sums of a batch are divided by: images, pairs, predictors, or 1."""
    batch = ledgers[0].geometry.batch_size
    if normalizer == "images":
        return float(max(batch, 1))
    if normalizer == "positives":
        return float(max(sum(len(ledger.slots) for ledger in ledgers), 1))
    if normalizer == "cells":
        return float(sum(ledger.ignored.numel() for ledger in ledgers))
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


def _per_head(weight: float | tuple[float, ...], num_heads: int, key: str) -> list[float]:
    if not isinstance(weight, tuple):
        return [weight] * num_heads
    if len(weight) != num_heads:
        raise PresetError(f"preset key {key!r}: expected one number or {num_heads}, one per head, got {len(weight)}")
    return list(weight)

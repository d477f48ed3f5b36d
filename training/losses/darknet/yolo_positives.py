"""Deltas of darknet's [yolo] layer at predictors with objects, object by object (delta_yolo_box, delta_yolo_class)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yoloscope.models.layout import BOX, CLASSES, OBJECTNESS, H, W
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import Positives
from yoloscope.training.assignment.grid import HeadMatches, cell_offsets
from yoloscope.training.losses.darknet import boxes as darknet_box
from yoloscope.training.losses.darknet.deltas import occurrence
from yoloscope.training.losses.darknet.region import focal_factor
from yoloscope.training.losses.darknet.rules import YoloRules, scalar, text
from yoloscope.training.losses.decode import decode_activated_entries, matched_anchors


@dataclass(frozen=True)
class BackgroundDeltas:
    """Objectness deltas [B, A, h, w] before any object, who is ignored, and the pairs above ``truth_thresh``."""

    objectness: Tensor
    ignored: Tensor
    above_truth_thresh: HeadMatches
    above_iou: Tensor


@dataclass(frozen=True)
class PositiveDeltas:
    """Final deltas [P, 5+C] of the predictors with objects, and darknet's counters."""

    values: Tensor
    total_bbox: int
    rewritten_bbox: int


@dataclass
class DeltaAccumulator:
    """Deltas under way: box [P, 4], objectness [P], classes [P, C]."""

    box: Tensor
    objectness: Tensor
    classes: Tensor
    rewritten: int = 0


@dataclass(frozen=True)
class _Pairs:
    """All pairs in darknet's order, with everything that does not change on the way."""

    positive: Tensor
    box_delta: Tensor
    activated: Tensor
    class_ids: Tensor
    is_above: Tensor
    above_squared: Tensor

    def select(self, keep: Tensor) -> _Pairs:
        return replace(self, **{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})


def accumulate_deltas(
    output: Tensor,
    matches: HeadMatches,
    positives: Positives,
    background: BackgroundDeltas,
    truth: GroundTruth,
    rules: YoloRules,
) -> PositiveDeltas:
    """Return the deltas after all pairs were entered in order.

    The loop is over how many pairs share one predictor, not over pairs: step k enters the k-th pair of every
    predictor at once.
    """
    pairs = _prepare(output, matches, positives, background, truth, rules)
    first = matches.select(positives.first)
    start = background.objectness[first.images, first.anchors, first.rows, first.columns]
    sums = DeltaAccumulator(
        start.new_zeros(len(positives), 4), start, start.new_zeros(len(positives), output.shape[2] - CLASSES)
    )
    rank = occurrence(pairs.positive)
    for step in range(int(rank.max()) + 1 if len(rank) else 0):
        _add_pairs(sums, pairs.select(rank == step), rules)
    if scalar(rules.iou_thresh) < 1 and rules.accumulate:
        positive = (sums.classes > 0).sum(-1).clamp_min(1)
        averaged = sums.box / positive[:, None]
        sums.box = torch.where((sums.objectness != 0)[:, None], averaged, sums.box)
    values = torch.cat((sums.box, sums.objectness[:, None], sums.classes), dim=-1)
    return PositiveDeltas(values, total_bbox=len(matches), rewritten_bbox=sums.rewritten)


def predicted_overlap(output: Tensor, matches: HeadMatches, truth: GroundTruth, measure: str = "iou") -> Tensor:
    """Return the overlap [R] of matched predictions with their objects by one of darknet's measures."""
    predicted = decode_activated_entries(_entries(output, matches), matches)
    own = truth.boxes_cxcywh_norm[matches.objects].to(output)
    return darknet_box.MEASURES[measure](predicted, own).to(output.dtype)


def _prepare(
    output: Tensor,
    matches: HeadMatches,
    positives: Positives,
    background: BackgroundDeltas,
    truth: GroundTruth,
    rules: YoloRules,
) -> _Pairs:
    entries = _entries(output, matches)
    is_above = torch.zeros(len(matches), dtype=torch.bool, device=output.device)
    is_above[: len(background.above_truth_thresh)] = True
    squared = torch.zeros(len(matches), dtype=output.dtype, device=output.device)
    squared[: len(background.above_truth_thresh)] = background.above_iou.square()
    own = truth.boxes_cxcywh_norm[matches.objects]
    delta = _box_delta(entries, matches, own, rules)
    return _Pairs(positives.of_match, delta, entries, truth.class_ids[matches.objects], is_above, squared)


def _entries(output: Tensor, matches: HeadMatches) -> Tensor:
    return output[matches.images, matches.anchors, :, matches.rows, matches.columns]


def _box_delta(entries: Tensor, matches: HeadMatches, own: Tensor, rules: YoloRules) -> Tensor:
    """Return what one pair adds to the box deltas [R, 4] (delta_yolo_box)."""
    geometry = matches.geometry
    if rules.iou_loss == "mse":
        anchors = matched_anchors(matches, entries)
        ratio = own[:, 2:].to(entries) / anchors
        wanted_wh = (ratio / 4).sqrt() if geometry.spec.new_coords else ratio.log()
        offsets = cell_offsets(own, matches.columns, matches.rows, geometry).to(entries)
        size = 2 - own[:, 2:].to(entries).prod(-1, keepdim=True)
        return size * scalar(rules.iou_normalizer) * (torch.cat((offsets, wanted_wh), -1) - entries[:, BOX])
    predicted = decode_activated_entries(entries, matches)
    predicted[:, 2:] = torch.where(predicted[:, 2:] == 0, 1.0, predicted[:, 2:])
    delta = darknet_box.iou_gradient(predicted, own.to(entries), text(rules.iou_loss))
    if not geometry.spec.new_coords:
        delta[:, 2:] *= entries[:, W : H + 1].exp()
    delta = delta * scalar(rules.iou_normalizer)
    delta = torch.where(torch.isfinite(delta), delta, 0.0)
    return delta if rules.max_delta is None else delta.clamp(-scalar(rules.max_delta), scalar(rules.max_delta))


def _add_pairs(sums: DeltaAccumulator, pairs: _Pairs, rules: YoloRules) -> None:
    """Enter one pair per predictor into the growing deltas."""
    at = pairs.positive
    sums.rewritten += int((sums.box[at] != 0).any(-1).sum())
    sums.box[at] = sums.box[at] + pairs.box_delta if rules.accumulate else pairs.box_delta
    sums.objectness[at] = _objectness_delta(sums.objectness[at], pairs, rules)
    sums.classes[at] = _class_delta(sums.classes[at], pairs, rules)


def _objectness_delta(before: Tensor, pairs: _Pairs, rules: YoloRules) -> Tensor:
    normalizer = scalar(rules.obj_normalizer)
    objectness = pairs.activated[:, OBJECTNESS]
    full = normalizer * (1 - objectness)
    if not rules.objectness_smooth:
        return full
    hit = normalizer * (pairs.above_squared - objectness)
    return torch.where(pairs.is_above, hit, torch.where(before == 0, full, before))


def _class_delta(before: Tensor, pairs: _Pairs, rules: YoloRules) -> Tensor:
    """Return class deltas [K, C] after one more object: all classes the first time, later only its own."""
    probabilities = pairs.activated[:, CLASSES:]
    own = pairs.class_ids[:, None]
    eps = scalar(rules.label_smooth_eps)
    high, low = 1 - eps + 0.5 * eps, 0.5 * eps
    is_own = torch.zeros_like(before, dtype=torch.bool).scatter_(1, own, value=True)
    if rules.focal_loss:
        fresh = (is_own.to(before) - probabilities) * focal_factor(probabilities.gather(1, own))
    else:
        fresh = torch.where(is_own, high - probabilities, low - probabilities)
    later = torch.where(is_own, high - probabilities, before)
    after = torch.where(before.gather(1, own) != 0, later, fresh)
    if rules.objectness_smooth:
        after = torch.where(pairs.is_above[:, None] & is_own, pairs.above_squared[:, None] - probabilities, after)
    return after

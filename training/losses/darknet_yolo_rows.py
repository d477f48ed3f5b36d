"""How darknet's [yolo] deltas grow at the predictors that serve objects (delta_yolo_box, delta_yolo_class)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from models.layout import BOX, CLASSES, OBJECTNESS, H, W
from models.structures import GroundTruth
from training.assignment.collisions import Slots
from training.assignment.matches import HeadMatches, cell_offsets
from training.losses import darknet_box
from training.losses.darknet_delta import occurrence
from training.losses.darknet_region import focal_factor
from training.losses.darknet_rules import YoloRules, scalar, text


@dataclass(frozen=True)
class RowDeltas:
    """Final deltas [P, 5+C] of the served predictors, and darknet's counters."""

    values: Tensor
    total_bbox: int
    rewritten_bbox: int


class Background(Protocol):
    """What came before the first object."""

    @property
    def objectness(self) -> Tensor:
        """Objectness deltas [B, A, h, w]."""

    @property
    def hits(self) -> HeadMatches:
        """Pairs above ``truth_thresh``: the first of all pairs."""

    @property
    def hit_overlap(self) -> Tensor:
        """MaxIoU of those pairs."""


@dataclass
class _Growing:
    """Deltas under way: box [P, 4], objectness [P], classes [P, C]."""

    box: Tensor
    objectness: Tensor
    classes: Tensor
    rewritten: int = 0


@dataclass(frozen=True)
class _Pairs:
    """All pairs in darknet's order, with everything that does not change on the way."""

    slot: Tensor
    box_delta: Tensor
    activated: Tensor
    class_ids: Tensor
    is_hit: Tensor
    hit_squared: Tensor

    def select(self, keep: Tensor) -> _Pairs:
        return replace(self, **{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})


def walk(
    output: Tensor,
    matches: HeadMatches,
    slots: Slots,
    background: Background,
    truth: GroundTruth,
    rules: YoloRules,
) -> RowDeltas:
    """Return the deltas after all pairs were entered in order.

    The loop is over how many pairs share one predictor, not over pairs: step k enters the k-th pair of every
    predictor at once.
    """
    pairs = _prepare(output, matches, slots, background, truth, rules)
    first = matches.select(slots.first)
    start = background.objectness[first.images, first.anchors, first.rows, first.columns]
    grown = _Growing(start.new_zeros(len(slots), 4), start, start.new_zeros(len(slots), output.shape[2] - CLASSES))
    rank = occurrence(pairs.slot)
    for step in range(int(rank.max()) + 1 if len(rank) else 0):
        _enter(grown, pairs.select(rank == step), rules)
    if scalar(rules.iou_thresh) < 1 and rules.accumulate:
        positive = (grown.classes > 0).sum(-1).clamp_min(1)
        averaged = grown.box / positive[:, None]
        grown.box = torch.where((grown.objectness != 0)[:, None], averaged, grown.box)
    values = torch.cat((grown.box, grown.objectness[:, None], grown.classes), dim=-1)
    return RowDeltas(values, total_bbox=len(matches), rewritten_bbox=grown.rewritten)


def predicted_overlap(output: Tensor, matches: HeadMatches, truth: GroundTruth, measure: str = "iou") -> Tensor:
    """Return the overlap [R] of matched predictions with their objects by one of darknet's measures."""
    predicted = _decode(_entries(output, matches), matches)
    own = truth.boxes_cxcywh_norm[matches.objects].to(output)
    return darknet_box.MEASURES[measure](predicted, own).to(output.dtype)


def _prepare(
    output: Tensor,
    matches: HeadMatches,
    slots: Slots,
    background: Background,
    truth: GroundTruth,
    rules: YoloRules,
) -> _Pairs:
    entries = _entries(output, matches)
    is_hit = torch.zeros(len(matches), dtype=torch.bool, device=output.device)
    is_hit[: len(background.hits)] = True
    squared = torch.zeros(len(matches), dtype=output.dtype, device=output.device)
    squared[: len(background.hits)] = background.hit_overlap.square()
    own = truth.boxes_cxcywh_norm[matches.objects]
    delta = _box_delta(entries, matches, own, rules)
    return _Pairs(slots.of_match, delta, entries, truth.class_ids[matches.objects], is_hit, squared)


def _entries(output: Tensor, matches: HeadMatches) -> Tensor:
    return output[matches.images, matches.anchors, :, matches.rows, matches.columns]


def _decode(entries: Tensor, matches: HeadMatches) -> Tensor:
    geometry = matches.geometry
    cell = torch.stack((matches.columns, matches.rows), dim=-1)
    grid = entries.new_tensor((geometry.grid_width, geometry.grid_height))
    anchors = entries.new_tensor(geometry.anchors_norm)[matches.anchors]
    raw = entries[:, W : H + 1]
    extent = 4 * raw.square() if geometry.spec.new_coords else raw.exp()
    return torch.cat(((entries[:, :2] + cell) / grid, extent * anchors), dim=-1)


def _box_delta(entries: Tensor, matches: HeadMatches, own: Tensor, rules: YoloRules) -> Tensor:
    """Return what one pair adds to the box deltas [R, 4] (delta_yolo_box)."""
    geometry = matches.geometry
    if rules.iou_loss == "mse":
        anchors = entries.new_tensor(geometry.anchors_norm)[matches.anchors]
        ratio = own[:, 2:].to(entries) / anchors
        wanted_wh = (ratio / 4).sqrt() if geometry.spec.new_coords else ratio.log()
        offsets = cell_offsets(own, matches.columns, matches.rows, geometry).to(entries)
        size = 2 - own[:, 2:].to(entries).prod(-1, keepdim=True)
        return size * scalar(rules.iou_normalizer) * (torch.cat((offsets, wanted_wh), -1) - entries[:, BOX])
    predicted = _decode(entries, matches)
    predicted[:, 2:] = torch.where(predicted[:, 2:] == 0, 1.0, predicted[:, 2:])
    delta = darknet_box.ascent(predicted, own.to(entries), text(rules.iou_loss))
    if not geometry.spec.new_coords:
        delta[:, 2:] *= entries[:, W : H + 1].exp()
    delta = delta * scalar(rules.iou_normalizer)
    delta = torch.where(torch.isfinite(delta), delta, 0.0)
    return delta if rules.max_delta is None else delta.clamp(-scalar(rules.max_delta), scalar(rules.max_delta))


def _enter(grown: _Growing, pairs: _Pairs, rules: YoloRules) -> None:
    """Enter one pair per predictor into the growing deltas."""
    slot = pairs.slot
    grown.rewritten += int((grown.box[slot] != 0).any(-1).sum())
    grown.box[slot] = grown.box[slot] + pairs.box_delta if rules.accumulate else pairs.box_delta
    grown.objectness[slot] = _objectness_delta(grown.objectness[slot], pairs, rules)
    grown.classes[slot] = _class_delta(grown.classes[slot], pairs, rules)


def _objectness_delta(before: Tensor, pairs: _Pairs, rules: YoloRules) -> Tensor:
    normalizer = scalar(rules.obj_normalizer)
    objectness = pairs.activated[:, OBJECTNESS]
    full = normalizer * (1 - objectness)
    if not rules.objectness_smooth:
        return full
    hit = normalizer * (pairs.hit_squared - objectness)
    return torch.where(pairs.is_hit, hit, torch.where(before == 0, full, before))


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
        after = torch.where(pairs.is_hit[:, None] & is_own, pairs.hit_squared[:, None] - probabilities, after)
    return after

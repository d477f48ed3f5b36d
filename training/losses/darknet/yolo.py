"""Deltas of darknet's [yolo] layer (src/yolo_layer.c, process_batch): YOLOv3 and v4.

How darknet's [yolo] deltas grow at the predictors that serve objects (delta_yolo_box, delta_yolo_class).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from yoloscope.models.layout import BOX, CLASSES, OBJECTNESS, XY, H, W, X, Y
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.anchors import match_best_anchor
from yoloscope.training.assignment.collisions import Slots, find_slots
from yoloscope.training.assignment.geometry import HeadGeometry
from yoloscope.training.assignment.matches import HeadMatches, cell_offsets
from yoloscope.training.assignment.max_iou import best_overlap, first_objects, padded_boxes_xyxy
from yoloscope.training.losses.darknet import boxes as darknet_box
from yoloscope.training.losses.darknet.deltas import DarknetHeadState, HeadDelta, occurrence
from yoloscope.training.losses.darknet.presets import YoloRules, scalar, text
from yoloscope.training.losses.darknet.region import focal_factor
from yoloscope.training.losses.decode import anchor_planes
from yoloscope.training.losses.heads import compute_dtype


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


@dataclass(frozen=True)
class _Background:
    """Objectness deltas [B, A, h, w] before any object, who is ignored, and the pairs above ``truth_thresh``."""

    objectness: Tensor
    ignored: Tensor
    hits: HeadMatches
    hit_overlap: Tensor


def yolo_delta(
    head: Tensor,
    geometry: HeadGeometry,
    truth: GroundTruth,
    anchors_px: Sequence[tuple[float, float]],
    rules: YoloRules,
) -> HeadDelta:
    """Return the deltas of one head.

    First every predictor's objectness, then every object in label order, all images at once. Only objects that
    share a predictor need an order; they are walked by their rank on it.
    """
    output = _activate(head, geometry)
    background = _background(output, geometry, truth, rules)
    matches = _match(geometry, truth, anchors_px, rules, output.dtype)
    everyone = _join(background.hits, matches)
    slots = find_slots(everyone)
    rows = walk(output, everyone, slots, background, truth, rules)
    delta = torch.zeros_like(output)
    delta[:, :, OBJECTNESS] = background.objectness
    first = everyone.select(slots.first)
    delta[first.images, first.anchors, :, first.rows, first.columns] = rows.values.to(delta)
    iou = predicted_overlap(output, everyone, truth)
    cost = _cost(delta, matches, truth, output, rules, iou[len(background.hits) :])
    state = DarknetHeadState(
        output=output.view(head.shape),
        delta=_through_logistic(delta, output, geometry).view(head.shape),
        cost=cost,
        total_bbox=rows.total_bbox,
        rewritten_bbox=rows.rewritten_bbox,
        labels=_labels(matches),
        class_ids=_class_ids(matches, truth),
    )
    return HeadDelta(state, delta, slots, iou, background.ignored, everyone.objects)


def _activate(head: Tensor, geometry: HeadGeometry) -> Tensor:
    """Return l.output as [B, A, 5+C, h, w]: with new_coords the logistic belongs to the layer before."""
    batch, num_anchors, height, width = geometry.shape
    spec = geometry.spec
    output = head.to(compute_dtype(head)).reshape(batch, num_anchors, -1, height, width).clone()
    if spec.new_coords:
        if spec.activation == "sigmoid":
            output.sigmoid_()
    else:
        output[:, :, XY] = output[:, :, XY].sigmoid()
        output[:, :, OBJECTNESS:] = output[:, :, OBJECTNESS:].sigmoid()
    output[:, :, XY] = output[:, :, XY] * spec.scale_xy - 0.5 * (spec.scale_xy - 1)
    return output


def decoded_planes(output: Tensor, geometry: HeadGeometry) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the boxes of an activated head as four planes [B, A, h, w], fractions of the network input."""
    anchors = anchor_planes(geometry, output)
    columns = torch.arange(geometry.grid_width, device=output.device, dtype=output.dtype)
    rows = torch.arange(geometry.grid_height, device=output.device, dtype=output.dtype)[:, None]
    extents = (output[:, :, W], output[:, :, H])
    if geometry.spec.new_coords:
        width, height = (4 * extent.square() * anchor for extent, anchor in zip(extents, anchors, strict=True))
    else:
        width, height = (extent.exp() * anchor for extent, anchor in zip(extents, anchors, strict=True))
    x = (output[:, :, X] + columns) / geometry.grid_width
    return x, (output[:, :, Y] + rows) / geometry.grid_height, width, height


def _background(output: Tensor, geometry: HeadGeometry, truth: GroundTruth, rules: YoloRules) -> _Background:
    best, place = best_overlap(decoded_planes(output, geometry), padded_boxes_xyxy(truth, output.dtype))
    objectness = output[:, :, OBJECTNESS]
    normalizer = scalar(rules.obj_normalizer)
    delta = normalizer * (0 - objectness)
    ignored = best > scalar(rules.ignore_thresh)
    if rules.class_gate is not None:
        ignored = ignored & (output[:, :, CLASSES:].amax(2) > rules.class_gate)
    softened = normalizer * (best - objectness) if rules.objectness_smooth else torch.zeros_like(delta)
    if rules.objectness_smooth:
        softened = torch.maximum(softened, delta)
    delta = torch.where(ignored, softened, delta)
    hits = (best > scalar(rules.truth_thresh)).nonzero(as_tuple=True)
    images, anchors, rows, columns = hits
    pairs = HeadMatches(
        geometry=geometry,
        objects=first_objects(truth)[images] + place[hits],
        images=images,
        anchors=anchors,
        rows=rows,
        columns=columns,
        extra=torch.ones_like(images, dtype=torch.bool),
        anchor_iou=best[hits],
    )
    return _Background(delta, ignored, pairs, best[hits])


def _match(
    geometry: HeadGeometry,
    truth: GroundTruth,
    anchors_px: Sequence[tuple[float, float]],
    rules: YoloRules,
    dtype: torch.dtype,
) -> HeadMatches:
    threshold = scalar(rules.iou_thresh)
    anchors = torch.tensor(anchors_px, dtype=dtype, device=truth.class_ids.device)
    (matches,) = match_best_anchor(
        truth, (geometry,), anchors, threshold if threshold < 1 else None, text(rules.iou_thresh_kind)
    )
    return matches


def _join(a: HeadMatches, b: HeadMatches) -> HeadMatches:
    return HeadMatches(
        a.geometry,
        torch.cat((a.objects, b.objects)),
        torch.cat((a.images, b.images)),
        torch.cat((a.anchors, b.anchors)),
        torch.cat((a.rows, b.rows)),
        torch.cat((a.columns, b.columns)),
        torch.cat((a.extra, b.extra)),
        torch.cat((a.anchor_iou, b.anchor_iou.to(a.anchor_iou))),
    )


def _labels(matches: HeadMatches) -> Tensor:
    """Return the last object [B, A, h, w] of each predictor whose best anchor it is, -1 where there is none."""
    best = matches.select(~matches.extra)
    labels = torch.full(matches.geometry.shape, -1, dtype=torch.int64, device=best.objects.device)
    labels.view(-1).scatter_reduce_(0, best.predictors, best.objects, "amax")
    return labels


def _class_ids(matches: HeadMatches, truth: GroundTruth) -> Tensor:
    labels = _labels(matches)
    return torch.where(labels >= 0, truth.class_ids[labels.clamp_min(0)], -1) if len(truth) else labels


def _through_logistic(delta: Tensor, output: Tensor, geometry: HeadGeometry) -> Tensor:
    """Return the delta of the raw head: with new_coords the layer's input is the logistic of it."""
    spec = geometry.spec
    if not spec.new_coords or spec.activation == "none":
        return delta
    activated = output.clone()
    activated[:, :, XY] = (output[:, :, XY] + 0.5 * (spec.scale_xy - 1)) / spec.scale_xy
    return delta * activated * (1 - activated)


def _cost(
    delta: Tensor, matches: HeadMatches, truth: GroundTruth, output: Tensor, rules: YoloRules, iou: Tensor
) -> Tensor:
    """Return what darknet prints: summed squares, or with ``show_details`` a mean of 1 - IoU and the rest squared."""
    if rules.iou_loss == "mse" or not rules.show_details:
        return delta.square().sum()
    overlap = predicted_overlap(output, matches, truth, "giou") if rules.iou_loss == "giou" else iou
    rest = delta.square().sum() - delta[:, :, BOX].square().sum()
    mean_loss = (1 - overlap).sum() / max(len(matches), 1)
    return scalar(rules.iou_normalizer) * mean_loss + scalar(rules.obj_normalizer) * rest

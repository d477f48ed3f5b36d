"""Deltas of darknet's [yolo] layer (src/yolo_layer.c, process_batch): YOLOv3 and v4.

First those of every predictor's objectness, then object by object (delta_yolo_box, delta_yolo_class).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yoloscope.models.layout import BOX, CLASSES, OBJECTNESS, XY, H, W
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import HeadAssignment, Positives, find_positives, match_best_anchor
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches, cell_offsets
from yoloscope.training.assignment.ignore import ignored_predictors, max_iou, padded_boxes_xyxy
from yoloscope.training.losses.darknet import boxes as darknet_box
from yoloscope.training.losses.darknet.deltas import DarknetHeadState, HeadDelta, occurrence
from yoloscope.training.losses.darknet.region import focal_factor
from yoloscope.training.losses.darknet.rules import YoloRules, scalar, text
from yoloscope.training.losses.decode import (
    compute_dtype,
    decode_activated_entries,
    decode_activated_planes,
    matched_anchors,
    unravel,
)
from yoloscope.training.losses.preset import LossInputs


class YoloPreset(YoloRules):
    """Preset of YOLOv3 and v4 with darknet's gradients."""

    def delta(self, head: Tensor, geometry: HeadGeometry, inputs: LossInputs) -> HeadDelta:
        """Return the deltas of one head."""
        return yolo_delta(head, geometry, inputs.truth, inputs.spec.anchors_px, self)


def yolo_delta(
    head: Tensor,
    geometry: HeadGeometry,
    truth: GroundTruth,
    anchors_px: Sequence[tuple[float, float]],
    rules: YoloRules,
) -> HeadDelta:
    """Return the deltas of one head.

    First every predictor's objectness, then every object in label order, all images at once. Only objects that
    share a predictor need an order; they are entered by their rank on it.
    """
    output = _activate(head, geometry)
    background = _background(output, geometry, truth, rules)
    matches = _match(geometry, truth, anchors_px, rules, output.dtype)
    all_matches = _join(background.above_truth_thresh, matches)
    positives = find_positives(all_matches)
    of_positives = accumulate_deltas(output, all_matches, positives, background, truth, rules)
    delta = torch.zeros_like(output)
    delta[:, :, OBJECTNESS] = background.objectness
    first = all_matches.select(positives.first)
    delta[first.images, first.anchors, :, first.rows, first.columns] = of_positives.values.to(delta)
    iou = predicted_overlap(output, all_matches, truth)
    cost = _cost(delta, matches, truth, output, rules, iou[len(background.above_truth_thresh) :])
    state = DarknetHeadState(
        output=output.view(head.shape),
        delta=_through_logistic(delta, output, geometry).view(head.shape),
        cost=cost,
        total_bbox=of_positives.total_bbox,
        rewritten_bbox=of_positives.rewritten_bbox,
        labels=_labels(matches),
        class_ids=_class_ids(matches, truth),
    )
    return HeadDelta(state, delta, HeadAssignment(positives, all_matches.objects, background.ignored), iou)


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


def _background(output: Tensor, geometry: HeadGeometry, truth: GroundTruth, rules: YoloRules) -> BackgroundDeltas:
    best, place = max_iou(decode_activated_planes(output, geometry), padded_boxes_xyxy(truth, output.dtype))
    objectness = output[:, :, OBJECTNESS]
    normalizer = scalar(rules.obj_normalizer)
    delta = normalizer * (0 - objectness)

    def best_probability(predictors: Tensor) -> Tensor:
        image, anchor, row, column = unravel(predictors, geometry)
        return output[image, anchor, CLASSES:, row, column].amax(1)

    ignored = ignored_predictors(best > scalar(rules.ignore_thresh), rules.class_gate, best_probability)
    softened = normalizer * (best - objectness) if rules.objectness_smooth else torch.zeros_like(delta)
    if rules.objectness_smooth:
        softened = torch.maximum(softened, delta)
    delta = torch.where(ignored, softened, delta)
    above = (best > scalar(rules.truth_thresh)).nonzero(as_tuple=True)
    images, anchors, rows, columns = above
    pairs = HeadMatches(
        geometry=geometry,
        objects=truth.first_rows[images] + place[above],
        images=images,
        anchors=anchors,
        rows=rows,
        columns=columns,
        extra=torch.ones_like(images, dtype=torch.bool),
        anchor_iou=best[above],
    )
    return BackgroundDeltas(delta, ignored, pairs, best[above])


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
        target_wh = (ratio / 4).sqrt() if geometry.spec.new_coords else ratio.log()
        offsets = cell_offsets(own, matches.columns, matches.rows, geometry).to(entries)
        size = 2 - own[:, 2:].to(entries).prod(-1, keepdim=True)
        return size * scalar(rules.iou_normalizer) * (torch.cat((offsets, target_wh), -1) - entries[:, BOX])
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

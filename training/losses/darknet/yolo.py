"""Deltas of darknet's [yolo] layer (src/yolo_layer.c, process_batch): YOLOv3 and v4."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from yoloscope.models.layout import BOX, CLASSES, OBJECTNESS, XY
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import HeadAssignment, find_positives, match_best_anchor
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches
from yoloscope.training.assignment.ignore import ignored_predictors, max_iou, padded_boxes_xyxy
from yoloscope.training.losses.darknet.deltas import DarknetHeadState, HeadDelta
from yoloscope.training.losses.darknet.rules import YoloRules, scalar, text
from yoloscope.training.losses.darknet.yolo_positives import BackgroundDeltas, accumulate_deltas, predicted_overlap
from yoloscope.training.losses.decode import compute_dtype, decode_activated_planes, unravel
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
    everyone = _join(background.above_truth_thresh, matches)
    positives = find_positives(everyone)
    of_positives = accumulate_deltas(output, everyone, positives, background, truth, rules)
    delta = torch.zeros_like(output)
    delta[:, :, OBJECTNESS] = background.objectness
    first = everyone.select(positives.first)
    delta[first.images, first.anchors, :, first.rows, first.columns] = of_positives.values.to(delta)
    iou = predicted_overlap(output, everyone, truth)
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
    return HeadDelta(state, delta, HeadAssignment(positives, everyone.objects, background.ignored), iou)


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

"""Deltas of darknet's [region] layer (src/region_layer.c, forward_region_layer): YOLOv2."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yoloscope.models.layout import BOX, CLASSES, OBJECTNESS, H, W, X, Y
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import (
    HeadAssignment,
    find_positives,
    match_best_anchor_per_head,
    resolve_collisions,
    shape_overlap,
)
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches, cell_offsets
from yoloscope.training.assignment.ignore import max_iou, padded_boxes_xyxy
from yoloscope.training.losses.darknet import boxes as darknet_box
from yoloscope.training.losses.darknet.deltas import DarknetHeadState, HeadDelta
from yoloscope.training.losses.darknet.rules import RegionRules, scalar
from yoloscope.training.losses.decode import compute_dtype, decode_activated_planes, unravel
from yoloscope.training.losses.preset import LossInputs


class RegionPreset(RegionRules):
    """Preset of YOLOv2 with darknet's gradients."""

    def delta(self, head: Tensor, geometry: HeadGeometry, inputs: LossInputs) -> HeadDelta:
        """Return the deltas of one head."""
        return region_delta(head, geometry, inputs.truth, self, inputs.images_seen)


@dataclass(frozen=True)
class _Activated:
    """A region head: raw and activated entries [B, A, 5+C, h, w], boxes as fractions [B, A, 4, h, w]."""

    raw: Tensor
    output: Tensor
    boxes: Tensor


def region_delta(
    head: Tensor, geometry: HeadGeometry, truth: GroundTruth, rules: RegionRules, images_seen: int | None
) -> HeadDelta:
    """Return the deltas of one head; an object that comes later on the same anchor overwrites the earlier one."""
    active = _activate(head, geometry, rules)
    delta = torch.zeros_like(active.raw)
    ignored = _background(delta, active, truth, geometry, rules)
    prior_active = images_seen is not None and images_seen < rules.prior_images
    if prior_active:
        delta[:, :, BOX] = _prior(active, rules)
    candidates = _match(active, geometry, truth, rules)
    matches = resolve_collisions(candidates, "last")
    iou = _write_positives(delta, active, matches, truth, rules)
    state = DarknetHeadState(
        output=_darknet_order(active),
        delta=delta.view(head.shape),
        cost=delta.square().sum(),
    )
    assignment = HeadAssignment(find_positives(matches), candidates.objects, ignored)
    return HeadDelta(state, delta, assignment, iou, has_prior=prior_active)


def _activate(head: Tensor, geometry: HeadGeometry, rules: RegionRules) -> _Activated:
    batch, num_anchors, height, width = geometry.shape
    raw = head.to(compute_dtype(head)).reshape(batch, num_anchors, CLASSES + geometry.num_classes, height, width)
    output = raw.clone()
    output[:, :, [X, Y, OBJECTNESS]] = raw[:, :, [X, Y, OBJECTNESS]].sigmoid()
    softmax = rules.softmax if rules.softmax is not None else geometry.spec.class_activation == "softmax"
    if softmax:
        output[:, :, CLASSES:] = raw[:, :, CLASSES:].softmax(2)
    # darknet takes x and y activated and w and h raw, which is what its own output holds
    boxes = torch.stack(decode_activated_planes(output, geometry), dim=2)
    return _Activated(raw, output, boxes)


def _darknet_order(active: _Activated) -> Tensor:
    """Return l.output: [B, h, w, A, 5+C], where x and y stay raw."""
    output = active.output.clone()
    output[:, :, [X, Y]] = active.raw[:, :, [X, Y]]
    return output.permute(0, 3, 4, 1, 2)


def _slope(activated: Tensor, rules: RegionRules) -> Tensor:
    return activated * (1 - activated) if rules.chain_rule else torch.ones_like(activated)


def _background(
    delta: Tensor, active: _Activated, truth: GroundTruth, geometry: HeadGeometry, rules: RegionRules
) -> Tensor:
    padded = padded_boxes_xyxy(truth, active.raw.dtype)
    x, y, w, h = active.boxes.unbind(2)
    best, place = max_iou((x, y, w, h), padded)
    objectness = active.output[:, :, OBJECTNESS]
    target = best if rules.classfix == -1 else torch.zeros_like(best)
    delta[:, :, OBJECTNESS] = scalar(rules.noobject_scale) * (target - objectness) * _slope(objectness, rules)
    ignored = (best > scalar(rules.thresh)) & (rules.classfix != -1)
    delta[:, :, OBJECTNESS].masked_fill_(ignored, 0)
    if rules.classfix > 0:
        image, anchor, row, column = unravel(ignored.flatten().nonzero()[:, 0], geometry)
        objects = truth.first_rows[image] + place[image, anchor, row, column]
        scale = objectness[image, anchor, row, column, None] if rules.classfix == 2 else 1.0
        probabilities = active.output[image, anchor, CLASSES:, row, column]
        delta[image, anchor, CLASSES:, row, column] = scale * _class_delta(
            probabilities, truth.class_ids[objects], rules
        )
    return ignored


def _prior(active: _Activated, rules: RegionRules) -> Tensor:
    """Return the pull of every predictor to its cell's center and its anchor's size, [B, A, 4, h, w]."""
    offset = active.output[:, :, :2]
    center = rules.prior_scale * (0.5 - offset) * _slope(offset, rules)
    return torch.cat((center, -rules.prior_scale * active.raw[:, :, W : H + 1]), dim=2)


def _match(active: _Activated, geometry: HeadGeometry, truth: GroundTruth, rules: RegionRules) -> HeadMatches:
    (matches,) = match_best_anchor_per_head(truth, (geometry,))
    if rules.bias_match or not len(matches):
        return matches
    predicted = active.boxes[matches.images, :, :, matches.rows, matches.columns][:, :, 2:]
    own = truth.boxes_cxcywh_norm[matches.objects, 2:].to(predicted)
    shared = torch.minimum(predicted, own[:, None]).prod(-1)
    overlap = shared / (predicted.prod(-1) + own.prod(-1)[:, None] - shared)
    best = overlap.max(dim=1)
    anchors = predicted.new_tensor(geometry.anchors_norm)
    shape = shape_overlap(own, anchors).gather(1, best.indices[:, None])[:, 0]
    return replace(matches, anchors=best.indices, anchor_iou=shape)


def _write_positives(
    delta: Tensor, active: _Activated, matches: HeadMatches, truth: GroundTruth, rules: RegionRules
) -> Tensor:
    """Write the deltas of the predictors that have objects; return their predicted IoU."""
    geometry = matches.geometry
    at = (matches.images, matches.anchors, slice(None), matches.rows, matches.columns)
    own = truth.boxes_cxcywh_norm[matches.objects]
    raw, output = active.raw[at], active.output[at]
    anchors = raw.new_tensor(geometry.anchors_norm)[matches.anchors]
    offsets = cell_offsets(own, matches.columns, matches.rows, geometry).to(raw)
    own = own.to(raw)
    scale = scalar(rules.coord_scale) * ((2 - own[:, 2:].prod(-1, keepdim=True)) if rules.size_weight else 1.0)
    iou = darknet_box.iou(active.boxes[at], own)
    objectness = output[:, OBJECTNESS]
    target = iou if rules.rescore else torch.ones_like(iou)
    values = torch.cat(
        (
            scale * (offsets - output[:, :2]) * _slope(output[:, :2], rules),
            scale * ((own[:, 2:] / anchors).log() - raw[:, W : H + 1]),
            (scalar(rules.object_scale) * (target - objectness) * _slope(objectness, rules))[:, None],
            _class_delta(output[:, CLASSES:], truth.class_ids[matches.objects], rules),
        ),
        dim=-1,
    )
    delta[at] = values
    return iou


def _class_delta(probabilities: Tensor, class_ids: Tensor, rules: RegionRules) -> Tensor:
    targets = torch.zeros_like(probabilities).scatter_(1, class_ids[:, None], 1)
    factor: Tensor | float = scalar(rules.class_scale)
    if rules.focal_loss:
        factor = factor * focal_factor(probabilities.gather(1, class_ids[:, None]))
    return factor * (targets - probabilities)


def focal_factor(true_probability: Tensor) -> Tensor:
    """Return darknet's focal factor .5 * g of the true class's probability (delta_region_class, delta_yolo_class)."""
    p = true_probability + 1e-15
    return 0.5 * -(1 - p) * (2 * p * p.log() + p - 1)

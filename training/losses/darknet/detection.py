"""Deltas of darknet's [detection] layer (src/detection_layer.c, forward_detection_layer): YOLOv1."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from yoloscope.models.errors import PresetError
from yoloscope.models.layout import CLASSES, OBJECTNESS
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import HeadAssignment, find_positives, match_first_per_cell
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches, cell_offsets
from yoloscope.training.losses.darknet import boxes as darknet_box
from yoloscope.training.losses.darknet.deltas import DarknetHeadState, HeadDelta
from yoloscope.training.losses.darknet.rules import DetectionRules, scalar
from yoloscope.training.losses.decode import compute_dtype
from yoloscope.training.losses.preset import LossInputs

FORCED_AREA = 0.1


class DetectionPreset(DetectionRules):
    """Preset of YOLOv1 with darknet's gradients."""

    def delta(self, head: Tensor, geometry: HeadGeometry, inputs: LossInputs) -> HeadDelta:
        """Return the deltas of one head."""
        return detection_delta(head, geometry, inputs.truth, self)


def detection_delta(head: Tensor, geometry: HeadGeometry, truth: GroundTruth, rules: DetectionRules) -> HeadDelta:
    """Return the deltas of one flat head; nothing is activated, but classes where softmax is set."""
    layout = geometry.spec.detection_layout(geometry.num_classes)
    batch, n, height, width = geometry.shape
    cells = (batch, height, width)
    output = head.to(compute_dtype(head)).clone()
    softmax = rules.softmax if rules.softmax is not None else geometry.spec.class_activation == "softmax"
    classes = output[:, layout.classes].view(*cells, geometry.num_classes)
    if softmax:
        classes.copy_(classes.softmax(-1))
    confidences = output[:, layout.confidences].view(*cells, n)
    boxes = output[:, layout.boxes].view(*cells, n, 4)
    rooted = rules.sqrt if rules.sqrt is not None else geometry.spec.sqrt_wh

    matches = match_first_per_cell(truth, geometry)
    matches, target, iou = _choose(matches, boxes, truth, rules, rooted=rooted)
    at = matches.images, matches.rows, matches.columns
    delta = torch.zeros_like(output)
    d_confidences = delta[:, layout.confidences].view(*cells, n)
    d_confidences.copy_(scalar(rules.noobject_scale) * (0 - confidences))
    confidence_target = iou if rules.rescore else torch.ones_like(iou)
    own = (*at, matches.anchors)
    d_confidences[own] = scalar(rules.object_scale) * (confidence_target - confidences[own])
    class_targets = functional.one_hot(truth.class_ids[matches.objects], geometry.num_classes).to(classes)
    delta[:, layout.classes].view_as(classes)[at] = scalar(rules.class_scale) * (class_targets - classes[at])
    box_targets = torch.cat((target[:, :2], target[:, 2:].sqrt() if rooted else target[:, 2:]), dim=-1)
    delta[:, layout.boxes].view_as(boxes)[own] = scalar(rules.coord_scale) * (box_targets - boxes[own])
    state = DarknetHeadState(output=output, delta=delta, cost=delta.square().sum())
    return HeadDelta(
        state=state,
        plain=_as_planes(delta, matches, geometry),
        assignment=HeadAssignment(
            positives=find_positives(matches),
            candidates=truth.has_area.nonzero()[:, 0],
            ignored=torch.zeros(geometry.shape, dtype=torch.bool, device=head.device),
        ),
        iou=iou,
    )


def _choose(
    matches: HeadMatches, boxes: Tensor, truth: GroundTruth, rules: DetectionRules, *, rooted: bool
) -> tuple[HeadMatches, Tensor, Tensor]:
    """Return the matches with their responsible predictor, the targets [R, 4], and the predicted IoU [R].

    The highest IoU; if all are 0, the lowest distance of the four entries; ``forced``: predictor 1 for small objects.
    """
    geometry = matches.geometry
    if rules.forced and geometry.num_anchors < 2:
        raise PresetError(f"forced=1 needs two predictors per cell, got {geometry.num_anchors}")
    own = truth.boxes_cxcywh_norm[matches.objects]
    offsets = cell_offsets(own, matches.columns, matches.rows, geometry)
    target = torch.cat((offsets, own[:, 2:]), dim=-1).to(boxes)
    side = boxes.new_tensor((geometry.grid_width, geometry.grid_height))
    candidates = boxes[matches.images, matches.rows, matches.columns]
    extents = candidates[..., 2:].square() if rooted else candidates[..., 2:]
    candidates = torch.cat((candidates[..., :2] / side, extents), dim=-1)
    placed = torch.cat((target[:, :2] / side, target[:, 2:]), dim=-1)[:, None].expand_as(candidates)
    overlap = darknet_box.iou(candidates, placed)
    nearest = darknet_box.rmse(candidates, placed).argmin(1)
    best = torch.where((overlap > 0).any(1), overlap.argmax(1), nearest)
    if rules.forced:
        best = (target[:, 2:].prod(-1) < FORCED_AREA).long()
    iou = overlap.gather(1, best[:, None])[:, 0]
    return replace(matches, anchors=best, anchor_iou=iou), target, iou


def _as_planes(delta: Tensor, matches: HeadMatches, geometry: HeadGeometry) -> Tensor:
    """Return delta as [B, n, 5+C, S, S]; a cell's classes stand with its responsible predictor."""
    layout = geometry.spec.detection_layout(geometry.num_classes)
    batch, n, height, width = geometry.shape
    plain = delta.new_zeros(batch, n, CLASSES + geometry.num_classes, height, width)
    plain[:, :, :OBJECTNESS] = delta[:, layout.boxes].view(batch, height, width, n, 4).permute(0, 3, 4, 1, 2)
    plain[:, :, OBJECTNESS] = delta[:, layout.confidences].view(batch, height, width, n).permute(0, 3, 1, 2)
    classes = delta[:, layout.classes].view(batch, height, width, -1)
    at = matches.images, matches.rows, matches.columns
    plain[matches.images, matches.anchors, CLASSES:, matches.rows, matches.columns] = classes[at]
    return plain

"""Matching of objects to anchors by shape: YOLOv2, v3 and v4."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from yoloscope.models import boxes
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches, cells_of

SHAPE_MEASURES = {
    "iou": boxes.pairwise_iou,
    "giou": boxes.pairwise_giou,
    "diou": boxes.pairwise_diou,
    "ciou": boxes.pairwise_ciou,
}


def shape_overlap(wh_a: Tensor, wh_b: Tensor, measure: str = "iou") -> Tensor:
    """Return the overlap [N, M] of shapes [N, 2] and [M, 2] of one unit, all centered on one point.

    ``measure`` names a box measure of ``yoloscope.models.boxes``; plain IoU is what matching uses unless a darknet
    cfg's ``iou_thresh_kind`` says otherwise.
    """
    if measure == "iou":
        shared = torch.minimum(wh_a[:, None], wh_b[None]).clamp_min(0).prod(-1)
        union = wh_a.clamp_min(0).prod(-1)[:, None] + wh_b.clamp_min(0).prod(-1)[None] - shared
        return shared / union.clamp_min(boxes.FLOOR)
    return SHAPE_MEASURES[measure](_centered(wh_a), _centered(wh_b))


def _centered(wh: Tensor) -> Tensor:
    return torch.cat((-wh / 2, wh / 2), dim=-1)


def match_best_anchor(
    ground_truth: GroundTruth,
    geometries: Sequence[HeadGeometry],
    all_anchors_px: Tensor,
    extra_threshold: float | None,
    extra_measure: str = "iou",
) -> tuple[HeadMatches, ...]:
    """Match every object to the anchor [K, 2] of the best shape among all scales, the first where several are best.

    With ``extra_threshold``, every other anchor of a head whose overlap (``extra_measure``) exceeds it is assigned
    to the object too. So is an anchor that repeats the best one in another head. Objects without area match nothing.

    Source: YOLOv3 section 2.1; darknet src/yolo_layer.c, process_batch (best anchor, then iou_thresh).
    """
    net = all_anchors_px.new_tensor((geometries[0].net_width, geometries[0].net_height))
    anchors = all_anchors_px / net
    wh = ground_truth.boxes_cxcywh_norm[:, 2:].to(anchors)
    overlap = shape_overlap(wh, anchors)
    best = overlap.argmax(dim=1) if len(anchors) else overlap.new_zeros(len(wh), dtype=torch.int64)
    is_best = torch.zeros_like(overlap, dtype=torch.bool).scatter_(1, best[:, None], value=True)
    matched = is_best
    if extra_threshold is not None:
        reach = overlap if extra_measure == "iou" else shape_overlap(anchors, wh, extra_measure).T
        matched = is_best | (reach > extra_threshold)
    matched = matched & ground_truth.has_area[:, None]
    return tuple(_matches(ground_truth, g, matched, is_best, overlap) for g in geometries)


def match_best_anchor_per_head(
    ground_truth: GroundTruth, geometries: Sequence[HeadGeometry]
) -> tuple[HeadMatches, ...]:
    """Match every object, in every head, to that head's anchor of the best shape (YOLOv2, with its one head)."""
    return tuple(_matches_of_head(ground_truth, g, ratio=None) for g in geometries)


def match_by_ratio(
    ground_truth: GroundTruth, geometries: Sequence[HeadGeometry], max_ratio: float
) -> tuple[HeadMatches, ...]:
    """Match every object to every anchor whose width and height differ from its own by less than ``max_ratio``."""
    return tuple(_matches_of_head(ground_truth, g, ratio=max_ratio) for g in geometries)


def _matches_of_head(ground_truth: GroundTruth, geometry: HeadGeometry, ratio: float | None) -> HeadMatches:
    wh = ground_truth.boxes_cxcywh_norm[:, 2:]
    anchors = wh.new_tensor(geometry.anchors_norm)
    overlap = shape_overlap(wh, anchors)
    is_best = torch.zeros_like(overlap, dtype=torch.bool).scatter_(1, overlap.argmax(1)[:, None], value=True)
    matched = is_best
    if ratio is not None:
        quotient = wh[:, None] / anchors[None]
        matched = torch.maximum(quotient, 1 / quotient).amax(-1) < ratio
        is_best = is_best & matched
    matched = matched & ground_truth.has_area[:, None]
    return _gather(ground_truth, geometry, matched, is_best, overlap)


def _matches(
    ground_truth: GroundTruth, geometry: HeadGeometry, matched: Tensor, is_best: Tensor, overlap: Tensor
) -> HeadMatches:
    own = torch.tensor(geometry.spec.anchor_indices, device=matched.device)
    return _gather(ground_truth, geometry, matched[:, own], is_best[:, own], overlap[:, own])


def _gather(
    ground_truth: GroundTruth, geometry: HeadGeometry, matched: Tensor, is_best: Tensor, overlap: Tensor
) -> HeadMatches:
    objects, anchors = matched.nonzero(as_tuple=True)
    columns, rows = cells_of(ground_truth.boxes_cxcywh_norm, geometry)
    return HeadMatches(
        geometry=geometry,
        objects=objects,
        images=ground_truth.image_index[objects],
        anchors=anchors,
        rows=rows[objects],
        columns=columns[objects],
        extra=~is_best[objects, anchors],
        anchor_iou=overlap[objects, anchors],
    )

"""Assignment of objects to predictors: matching by anchors or cells, collisions and the ignore rule in one step.

A collision is a predictor that several objects match. The ignore rule itself stands in ``ignore.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from yoloscope.models import boxes
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches, MatchStatus, cells_of
from yoloscope.training.assignment.ignore import (
    Planes,
    exceeds_max_iou,
    ignored_predictors,
    max_iou,
    padded_boxes_xyxy,
)

Matching = Literal["cell_best_iou", "best_anchor_per_head", "best_anchor", "anchors_above", "ratio"]
CollisionRule = Literal["first", "last", "accumulate", "mean", "best_iou"]


@dataclass(frozen=True)
class AssignmentRules:
    """Rules of the assignment; ``losses.presets.formula.FormulaPreset`` documents each value."""

    match: Matching
    match_threshold: float
    collision: CollisionRule
    ignore_threshold: float | None
    ignore_class_gate: float | None
    keep_max_iou: bool = False


@dataclass(frozen=True)
class DecodedHead:
    """Current predictions of one head, constants for the gradient.

    ``boxes_cxcywh`` are fractions of the network input, None where no rule needs them. ``cell_boxes`` gives those of
    all predictors of some cells (images, rows, columns) as [R, A, 4], ``best_probability`` the best class probability
    float [n] of flat predictor indices [n].
    ``source`` int64 [B] says which image of the predictions each image of the batch is, where several share one.
    """

    geometry: HeadGeometry
    boxes_cxcywh: Planes | None
    cell_boxes: Callable[[Tensor, Tensor, Tensor], Tensor]
    best_probability: Callable[[Tensor], Tensor]
    source: Tensor | None = None

    def rows_of(self, images: Tensor) -> Tensor:
        """Return the images of the predictions that some images of the batch are."""
        return images if self.source is None else self.source[images]


@dataclass(frozen=True)
class Positives:
    """The P distinct predictors of a head that have objects, and which of its R matched pairs point to each.

    ``first`` int64 [P] is one pair per predictor, ``of_match`` int64 [R] the predictor of each pair, ``counts`` int64
    [P] its number of pairs. ``distinct``: predictors and pairs are the same.
    """

    matches: HeadMatches
    first: Tensor
    of_match: Tensor
    counts: Tensor
    distinct: bool = False

    def __len__(self) -> int:
        return len(self.first)

    @property
    def images(self) -> Tensor:
        """Image int64 [P] of each positive."""
        return self.matches.images[self.first]

    @property
    def predictors(self) -> Tensor:
        """Flat predictor index int64 [P] of each positive."""
        return self.matches.predictors[self.first]

    @property
    def index(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(image, anchor, row, column), int64 [P], of each positive."""
        own = self.matches if self.distinct else self.matches.select(self.first)
        return own.images, own.anchors, own.rows, own.columns

    @property
    def share(self) -> Tensor:
        """Share float [R] of a positive's common cost that falls to each of its pairs: one over their number."""
        return 1.0 / self.counts[self.of_match]


@dataclass(frozen=True)
class AssignedObjects:
    """Objects and predictors of a head.

    ``candidates`` int64 are the objects that matched a predictor here before collisions were resolved.
    """

    positives: Positives
    candidates: Tensor


@dataclass(frozen=True)
class HeadAssignment(AssignedObjects):
    """Result of the assignment in one head.

    ``ignored`` bool [B, A, h, w] are the predictors that the ignore rule spares, ``max_iou`` float [B, A, h, w] where a
    rule keeps it.
    """

    ignored: Tensor
    max_iou: Tensor | None = None


def assign(
    predictions: Sequence[DecodedHead],
    truth: GroundTruth,
    anchors_px: Sequence[tuple[float, float]],
    rules: AssignmentRules,
) -> tuple[HeadAssignment, ...]:
    """Assign objects to predictors in all heads: match, resolve collisions, apply the ignore rule.

    ``anchors_px`` are those of the whole detector.
    """
    assigned = assign_objects(predictions, truth, anchors_px, rules)
    return tuple(
        HeadAssignment(own.positives, own.candidates, *_ignored(head, truth, rules))
        for head, own in zip(predictions, assigned, strict=True)
    )


def assign_objects(
    predictions: Sequence[DecodedHead],
    truth: GroundTruth,
    anchors_px: Sequence[tuple[float, float]],
    rules: AssignmentRules,
) -> list[AssignedObjects]:
    """Match objects to predictors in all heads and resolve collisions; the ignore rule is not looked at."""
    geometries = [head.geometry for head in predictions]
    if rules.match == "cell_best_iou":
        return [_assign_cells(head, truth) for head in predictions]
    if rules.match == "best_anchor_per_head":
        matches = match_best_anchor_per_head(truth, geometries)
    elif rules.match == "ratio":
        matches = match_by_ratio(truth, geometries, rules.match_threshold)
    else:
        threshold = rules.match_threshold if rules.match == "anchors_above" else None
        matches = match_best_anchor(truth, geometries, truth.boxes_cxcywh_norm.new_tensor(anchors_px), threshold)
    return [
        AssignedObjects(_without_collisions(head, own, truth, rules), own.objects)
        for head, own in zip(predictions, matches, strict=True)
    ]


def match_statuses(heads: Sequence[AssignedObjects], num_objects: int) -> Tensor:
    """Return the ``MatchStatus`` of every object, uint8 [N]."""
    device = heads[0].candidates.device
    statuses = torch.full((num_objects,), int(MatchStatus.LOST), dtype=torch.uint8, device=device)
    for head in heads:
        statuses[head.candidates] = int(MatchStatus.COLLIDED)
    for head in heads:
        statuses[head.positives.matches.objects] = int(MatchStatus.ASSIGNED)
    return statuses


def _assign_cells(head: DecodedHead, truth: GroundTruth) -> AssignedObjects:
    """YOLOv1: one object per cell, so that nothing is left to collide."""
    matches = match_first_per_cell(truth, head.geometry)
    candidates = head.cell_boxes(head.rows_of(matches.images), matches.rows, matches.columns)
    matches = choose_predictor(matches, candidates, truth.boxes_cxcywh_norm[matches.objects])
    return AssignedObjects(distinct_positives(matches), truth.has_area.nonzero()[:, 0])


@torch.no_grad()
def _without_collisions(
    head: DecodedHead, matches: HeadMatches, truth: GroundTruth, rules: AssignmentRules
) -> Positives:
    positives = find_positives(matches)
    if len(positives) == len(matches) or rules.collision in {"accumulate", "mean"}:
        return positives
    iou = _predicted_iou(head, matches, truth) if rules.collision == "best_iou" else None
    return find_positives(resolve_collisions(matches, rules.collision, iou))


def _predicted_iou(head: DecodedHead, matches: HeadMatches, truth: GroundTruth) -> Tensor:
    at = (head.rows_of(matches.images), matches.anchors, matches.rows, matches.columns)
    predicted = torch.stack([plane[at] for plane in _boxes(head)], dim=-1)
    own = truth.boxes_cxcywh_norm[matches.objects].to(predicted)
    return boxes.paired_iou(boxes.cxcywh_to_xyxy(predicted), boxes.cxcywh_to_xyxy(own))


@torch.no_grad()
def _ignored(head: DecodedHead, truth: GroundTruth, rules: AssignmentRules) -> tuple[Tensor, Tensor | None]:
    threshold = rules.ignore_threshold
    if threshold is None or not len(truth):
        return torch.zeros(head.geometry.shape, dtype=torch.bool, device=truth.class_ids.device), None
    planes = _boxes(head)
    padded = padded_boxes_xyxy(truth, planes[0].dtype)
    if rules.keep_max_iou:
        best, _ = max_iou(planes, padded)
        return best > threshold, best
    over = exceeds_max_iou(planes, padded, threshold)
    return ignored_predictors(over, rules.ignore_class_gate, head.best_probability), None


def _boxes(head: DecodedHead) -> Planes:
    if head.boxes_cxcywh is None:
        raise ValueError("expected decoded boxes for rules that look at predictions, got none")
    return head.boxes_cxcywh


def find_positives(matches: HeadMatches) -> Positives:
    """Return the distinct predictors among the pairs."""
    predictors, of_match, counts = torch.unique(matches.predictors, return_inverse=True, return_counts=True)
    first = torch.full_like(predictors, len(matches))
    first.scatter_reduce_(0, of_match, torch.arange(len(matches), device=first.device), "amin")
    return Positives(matches, first, of_match, counts)


def distinct_positives(matches: HeadMatches) -> Positives:
    """Return the positives of pairs that are known not to share predictors."""
    order = torch.arange(len(matches), device=matches.objects.device)
    return Positives(matches, order, order, torch.ones_like(order), distinct=True)


def resolve_collisions(matches: HeadMatches, rule: CollisionRule, predicted_iou: Tensor | None = None) -> HeadMatches:
    """Return the pairs that remain under a rule.

    ``first`` and ``last`` keep, per predictor, the object that comes first or last in label order; ``best_iou`` the one
    whose ``predicted_iou`` [R] with that predictor is highest, the first where several are; ``accumulate`` and ``mean``
    keep all of them.
    """
    if rule in {"accumulate", "mean"} or not len(matches):
        return matches
    order = torch.arange(len(matches), device=matches.objects.device)
    if rule == "best_iou":
        if predicted_iou is None:
            raise ValueError("expected predicted_iou for the rule best_iou, got none")
        rank = torch.empty_like(order)
        rank[predicted_iou.argsort(stable=True, descending=True)] = order
    else:
        rank = order if rule == "first" else -order
    _, of_match = torch.unique(matches.predictors, return_inverse=True)
    best = torch.full((int(of_match.max()) + 1,), len(matches), device=order.device)
    best.scatter_reduce_(0, of_match, rank, "amin")
    return matches.select(rank == best[of_match])


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


def match_first_per_cell(ground_truth: GroundTruth, geometry: HeadGeometry) -> HeadMatches:
    """Match every object with area to its cell, the first of each cell only; ``anchors`` are still 0.

    A YOLOv1 cell predicts one set of classes, so it can hold one object. Source: darknet src/data.c,
    fill_truth_region, where the first object put into a cell stays.
    """
    columns, rows = cells_of(ground_truth.boxes_cxcywh_norm, geometry)
    cells = (ground_truth.image_index * geometry.grid_height + rows) * geometry.grid_width + columns
    has_area = ground_truth.has_area
    order = torch.arange(len(cells), device=cells.device)
    first = torch.full((geometry.batch_size * geometry.grid_height * geometry.grid_width,), len(cells))
    first = first.to(cells.device).scatter_reduce_(0, cells, torch.where(has_area, order, len(cells)), "amin")
    objects = (has_area & (first[cells] == order)).nonzero()[:, 0]
    return HeadMatches(
        geometry=geometry,
        objects=objects,
        images=ground_truth.image_index[objects],
        anchors=torch.zeros_like(objects),
        rows=rows[objects],
        columns=columns[objects],
        extra=torch.zeros_like(objects, dtype=torch.bool),
        anchor_iou=ground_truth.boxes_cxcywh_norm.new_zeros(len(objects)),
    )


@torch.no_grad()
def choose_predictor(matches: HeadMatches, candidates_cxcywh: Tensor, objects_cxcywh: Tensor) -> HeadMatches:
    """Return the matches with the predictor of each cell whose box overlaps the object most, the first where several.

    ``candidates_cxcywh`` [R, n, 4] are the cell's predicted boxes, ``objects_cxcywh`` [R, 4], one frame.
    Source: YOLOv1 section 2.2 (the highest current IoU).
    """
    overlap = boxes.paired_iou(
        boxes.cxcywh_to_xyxy(candidates_cxcywh), boxes.cxcywh_to_xyxy(objects_cxcywh)[:, None].to(candidates_cxcywh)
    )
    best = overlap.max(dim=1)
    return replace(matches, anchors=best.indices, anchor_iou=best.values)

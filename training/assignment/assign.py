"""Assignment of objects to predictors: matching, collisions and the ignore rule in one step.

A collision is a predictor that several objects match.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from yoloscope.models import boxes
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.anchors import match_best_anchor, match_best_anchor_per_head, match_by_ratio
from yoloscope.training.assignment.cells import choose_predictor, match_first_per_cell
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches
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
    """How objects find predictors; ``losses.presets.formula.FormulaPreset`` says what each value means."""

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
    """

    geometry: HeadGeometry
    boxes_cxcywh: Planes | None
    cell_boxes: Callable[[Tensor, Tensor, Tensor], Tensor]
    best_probability: Callable[[Tensor], Tensor]


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
class HeadAssignment:
    """Result of the assignment in one head.

    ``candidates`` int64 are the objects that matched a predictor here before collisions were resolved, ``ignored`` bool
    [B, A, h, w] the predictors that the ignore rule spares, ``max_iou`` float [B, A, h, w] where a rule keeps it.
    """

    positives: Positives
    candidates: Tensor
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
    geometries = [head.geometry for head in predictions]
    if rules.match == "cell_best_iou":
        return tuple(_assign_cells(head, truth, rules) for head in predictions)
    if rules.match == "best_anchor_per_head":
        matches = match_best_anchor_per_head(truth, geometries)
    elif rules.match == "ratio":
        matches = match_by_ratio(truth, geometries, rules.match_threshold)
    else:
        threshold = rules.match_threshold if rules.match == "anchors_above" else None
        matches = match_best_anchor(truth, geometries, truth.boxes_cxcywh_norm.new_tensor(anchors_px), threshold)
    return tuple(
        HeadAssignment(_without_collisions(head, own, truth, rules), own.objects, *_ignored(head, truth, rules))
        for head, own in zip(predictions, matches, strict=True)
    )


def _assign_cells(head: DecodedHead, truth: GroundTruth, rules: AssignmentRules) -> HeadAssignment:
    """YOLOv1: one object per cell, so that nothing is left to collide."""
    matches = match_first_per_cell(truth, head.geometry)
    candidates = head.cell_boxes(matches.images, matches.rows, matches.columns)
    matches = choose_predictor(matches, candidates, truth.boxes_cxcywh_norm[matches.objects])
    objects = truth.has_area.nonzero()[:, 0]
    return HeadAssignment(distinct_positives(matches), objects, *_ignored(head, truth, rules))


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
    at = (matches.images, matches.anchors, matches.rows, matches.columns)
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

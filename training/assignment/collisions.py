"""What happens where one predictor is asked to serve several objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from yoloscope.training.assignment.matches import HeadMatches

CollisionRule = Literal["first", "last", "accumulate", "mean", "best_iou"]


@dataclass(frozen=True)
class Slots:
    """The P distinct predictors of a head that serve objects, and which of its R pairs point to each.

    ``first`` int64 [P] is one pair per slot, ``of_match`` int64 [R] the slot of each pair, ``counts`` int64 [P] the
    pairs per slot. ``distinct``: slot and pair are the same.
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
        """Image int64 [P] of each slot."""
        return self.matches.images[self.first]

    @property
    def predictors(self) -> Tensor:
        """Flat predictor index int64 [P] of each slot."""
        return self.matches.predictors[self.first]

    @property
    def index(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Each slot's (image, anchor, row, column), int64 [P]."""
        own = self.matches if self.distinct else self.matches.select(self.first)
        return own.images, own.anchors, own.rows, own.columns

    @property
    def share(self) -> Tensor:
        """Share int64 [R] -> float of a slot's common cost that falls to each pair: one over its pairs."""
        return 1.0 / self.counts[self.of_match]


def find_slots(matches: HeadMatches) -> Slots:
    """Return the distinct predictors among the pairs."""
    predictors, of_match, counts = torch.unique(matches.predictors, return_inverse=True, return_counts=True)
    first = torch.full_like(predictors, len(matches))
    first.scatter_reduce_(0, of_match, torch.arange(len(matches), device=first.device), "amin")
    return Slots(matches, first, of_match, counts)


def distinct_slots(matches: HeadMatches) -> Slots:
    """Return the slots of pairs that are known not to share predictors."""
    order = torch.arange(len(matches), device=matches.objects.device)
    return Slots(matches, order, order, torch.ones_like(order), distinct=True)


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

"""Loss report: the total, and its breakdown by term, scale, image, object and cell; the assignment beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from yoloscope.models.errors import LossError
from yoloscope.training.assignment.assign import match_statuses
from yoloscope.training.assignment.grid import MatchStatus, Role
from yoloscope.training.losses.costs import TERMS, HeadCosts
from yoloscope.training.losses.darknet.deltas import DarknetState
from yoloscope.training.losses.names import Detail


@dataclass(frozen=True)
class AssignedPredictor:
    """One predictor that is assigned to an object.

    ``cell`` is (column, row); ``anchor`` is the position within the head; ``iou`` the overlap of what it predicts now
    with the object, ``anchor_iou`` that of its anchor's shape.
    """

    head: int
    stride: tuple[float, float]
    cell: tuple[int, int]
    anchor: int
    role: Role
    iou: float
    anchor_iou: float


@dataclass(frozen=True)
class Assignment:
    """Roles of all predictors and match status of all objects of a batch."""

    heads: tuple[HeadCosts, ...]
    num_objects: int
    prior: bool

    @cached_property
    def roles(self) -> tuple[Tensor, ...]:
        """``Role`` of every predictor, uint8 [B, A, h, w] per head."""
        return tuple(self._roles(head) for head in self.heads)

    @cached_property
    def statuses(self) -> Tensor:
        """``MatchStatus`` of every object, uint8 [N]."""
        return match_statuses([head.assignment for head in self.heads], self.num_objects)

    def predictors_of(self, index: int) -> list[AssignedPredictor]:
        """Return the predictors assigned to one object, head by head."""
        return self.by_object()[index]

    def by_object(self) -> list[list[AssignedPredictor]]:
        """Return the predictors assigned to each object, head by head, in the order of the ground truth."""
        found: list[list[AssignedPredictor]] = [[] for _ in range(self.num_objects)]
        for head in self.heads:
            for index, predictor in zip(head.matches.objects.tolist(), _assigned(head), strict=True):
                found[index].append(predictor)
        return found

    def _roles(self, head: HeadCosts) -> Tensor:
        free = Role.PRIOR if self.prior else Role.BACKGROUND
        roles = torch.full(head.geometry.shape, int(free), dtype=torch.uint8, device=head.assignment.ignored.device)
        roles[head.assignment.ignored] = int(Role.IGNORED)
        matches = head.matches
        flat = roles.view(-1)
        flat[matches.predictors[matches.extra]] = int(Role.EXTRA)
        flat[matches.predictors[~matches.extra]] = int(Role.RESPONSIBLE)
        return roles


def _assigned(head: HeadCosts) -> Iterator[AssignedPredictor]:
    """Yield the predictors of all matches, in their order."""
    matches, geometry = head.matches, head.geometry
    stride = geometry.net_width / geometry.grid_width, geometry.net_height / geometry.grid_height
    places = zip(matches.columns.tolist(), matches.rows.tolist(), matches.anchors.tolist(), strict=True)
    measured = zip(matches.extra.tolist(), head.iou.tolist(), matches.anchor_iou.tolist(), strict=True)
    for (column, row, anchor), (extra, iou, anchor_iou) in zip(places, measured, strict=True):
        role = Role.EXTRA if extra else Role.RESPONSIBLE
        yield AssignedPredictor(geometry.index, stride, (column, row), anchor, role, iou, anchor_iou)


@dataclass(frozen=True)
class Term:
    """One term of the loss: ``weighted`` counts towards the total, ``raw`` is the same before its weight."""

    raw: Tensor
    weighted: Tensor


@dataclass(frozen=True)
class Breakdown:
    """Weighted costs along one axis: ``total`` float [K] and its split by term; everything sums to the total."""

    total: Tensor
    terms: Mapping[str, Tensor]


@dataclass(frozen=True)
class ObjectBreakdown:
    """Weighted costs by object: ``total`` float [N], split by term.

    ``background`` float [B], split by ``background_terms``, is what predictors without an object cost; objects and
    background together sum to the total.
    """

    total: Tensor
    terms: Mapping[str, Tensor]
    background: Tensor
    background_terms: Mapping[str, Tensor]


@dataclass(frozen=True)
class LossReport:
    """A loss with its breakdown.

    ``total`` is a scalar on the graph, and the only place where weights are applied. Everything else is detached.
    ``divisor`` is what sums were divided by (``normalizer`` names it), ``preset`` and ``version`` say which loss this
    is: totals of different presets, versions or normalizers are not comparable.
    """

    total: Tensor
    preset: str
    version: int
    normalizer: str
    divisor: float
    detail: Detail
    num_objects: int
    heads: tuple[HeadCosts, ...]
    costs_by_head_term_image: Tensor
    term_weights: Tensor
    darknet: DarknetState | None = None

    @cached_property
    def terms(self) -> dict[str, Term]:
        """Terms that this loss has, by name."""
        raw = self.costs_by_head_term_image.sum((0, 2)) / self.divisor
        weighted = self._weighted.sum((0, 2))
        return {name: Term(raw[TERMS.index(name)], weighted[TERMS.index(name)]) for name in self._names}

    @cached_property
    def box_parts(self) -> dict[str, Term]:
        """The box terms, split: center and size, or overlap (1 - IoU), enclosure, distance and aspect."""
        return self._split_boxes(lambda _, costs: costs.sum())

    @cached_property
    def box_parts_by_object(self) -> dict[str, Term]:
        """The parts of the box terms by object, float [N] each; needs detail ``objects`` or ``cells``."""
        self._need("objects")
        zeros = self.term_weights.new_zeros(self.num_objects)
        return self._split_boxes(lambda head, costs: zeros.to(costs).index_add(0, head.matches.objects, costs))

    @cached_property
    def by_scale(self) -> Breakdown:
        """Costs by head, in the order of the head tensors."""
        return self._breakdown(self._weighted.sum(2).T)

    @cached_property
    def by_image(self) -> Breakdown:
        """Costs by image, as they count towards the total."""
        return self._breakdown(self._weighted.sum(0))

    @property
    def image_losses(self) -> Tensor:
        """Loss float [B] of each image by itself: the same alone and in any batch; its mean is the total."""
        return self.by_image.total * self.divisor

    @cached_property
    def by_object(self) -> ObjectBreakdown:
        """Costs by object, in the order of the ground truth; needs detail ``objects`` or ``cells``."""
        self._need("objects")
        assigned = self._weigh([head.by_object(self.num_objects) for head in self.heads])
        rest = self._weigh([head.background() for head in self.heads])
        return ObjectBreakdown(
            total=assigned.sum(0),
            terms={name: assigned[TERMS.index(name)] for name in self._names},
            background=rest.sum(0),
            background_terms={name: rest[TERMS.index(name)] for name in self._names},
        )

    def by_cell(self, term: str) -> tuple[Tensor, ...]:
        """Return the weighted cost of one term at every predictor, [B, A, h, w] per head; needs detail ``cells``."""
        self._need("cells")
        if term not in self._names:
            raise LossError(f"expected a term of {', '.join(self._names)}, got {term!r}")
        return tuple(
            head.by_cell(term) * self.term_weights[index, TERMS.index(term)] / self.divisor
            for index, head in enumerate(self.heads)
        )

    @cached_property
    def assignment(self) -> Assignment:
        """Roles of all predictors, match status of all objects."""
        self._need("objects")
        return Assignment(self.heads, self.num_objects, prior="prior" in self._names)

    @property
    def statuses(self) -> Tensor:
        """Match status of each object, ``MatchStatus`` as uint8 [N]."""
        return self.assignment.statuses

    def lost_objects(self) -> list[int]:
        """Return the objects that no predictor is assigned to, in the order of the ground truth."""
        return [int(i) for i in (self.statuses != MatchStatus.ASSIGNED).nonzero()[:, 0]]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        present = {name for head in self.heads for name in (*head.by_match, *head.by_positive, *head.by_predictor)}
        return tuple(name for name in TERMS if name in present)

    @cached_property
    def _weighted(self) -> Tensor:
        return self.costs_by_head_term_image * self.term_weights[:, :, None] / self.divisor

    def _split_boxes(self, gather: Callable[[HeadCosts, Tensor], Tensor]) -> dict[str, Term]:
        """Return the parts of box terms over all heads; ``gather`` sums the costs [R] of the pairs of a head."""
        parts: dict[str, Term] = {}
        for index, head in enumerate(self.heads):
            for name, value in head.parts.items():
                term = {"centre": "xy", "size": "wh"}.get(name, "box")
                raw = gather(head, value.detach()) / self.divisor
                weighted = raw * self.term_weights[index, TERMS.index(term)]
                known = parts.get(name)
                parts[name] = Term(raw + known.raw, weighted + known.weighted) if known else Term(raw, weighted)
        return parts

    def _weigh(self, raw_by_head: list[Tensor]) -> Tensor:
        return (torch.stack(raw_by_head) * self.term_weights[:, :, None] / self.divisor).sum(0)

    def _breakdown(self, by_term: Tensor) -> Breakdown:
        return Breakdown(by_term.sum(0), {name: by_term[TERMS.index(name)] for name in self._names})

    def _need(self, detail: Detail) -> None:
        order = ("summary", "objects", "cells")
        if order.index(self.detail) < order.index(detail):
            raise LossError(f"expected a report of detail {detail!r} or finer, got {self.detail!r}")

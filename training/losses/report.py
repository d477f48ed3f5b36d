"""The account of a loss: what every term, scale, image, object and cell contributes to the one number.

Who serves what: the assignment as a report shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from yoloscope.models.errors import LossError
from yoloscope.training.assignment.matches import Fate, Role
from yoloscope.training.losses.costs import TERMS, HeadLedger
from yoloscope.training.losses.darknet.deltas import DarknetState


@dataclass(frozen=True)
class Serving:
    """One predictor that serves an object.

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
    """Roles of all predictors and fates of all objects of a batch."""

    ledgers: tuple[HeadLedger, ...]
    num_objects: int
    prior: bool

    @cached_property
    def roles(self) -> tuple[Tensor, ...]:
        """``Role`` of every predictor, uint8 [B, A, h, w] per head."""
        return tuple(self._roles(ledger) for ledger in self.ledgers)

    @cached_property
    def fates(self) -> Tensor:
        """``Fate`` of every object, uint8 [N]."""
        device = self.ledgers[0].ignored.device
        fates = torch.full((self.num_objects,), int(Fate.LOST), dtype=torch.uint8, device=device)
        for ledger in self.ledgers:
            fates[ledger.wanted] = torch.minimum(fates[ledger.wanted], fates.new_tensor(int(Fate.COLLIDED)))
        for ledger in self.ledgers:
            fates[ledger.matches.objects] = int(Fate.SERVED)
        return fates

    def serving(self, index: int) -> list[Serving]:
        """Return the predictors that serve one object, head by head."""
        return [serving for ledger in self.ledgers for serving in _serving(ledger, index)]

    def _roles(self, ledger: HeadLedger) -> Tensor:
        free = Role.PRIOR if self.prior else Role.BACKGROUND
        roles = torch.full(ledger.geometry.shape, int(free), dtype=torch.uint8, device=ledger.ignored.device)
        roles[ledger.ignored] = int(Role.IGNORED)
        matches = ledger.matches
        flat = roles.view(-1)
        flat[matches.predictors[matches.extra]] = int(Role.EXTRA)
        flat[matches.predictors[~matches.extra]] = int(Role.RESPONSIBLE)
        return roles


def _serving(ledger: HeadLedger, index: int) -> list[Serving]:
    matches, geometry = ledger.matches, ledger.geometry
    stride = geometry.net_width / geometry.grid_width, geometry.net_height / geometry.grid_height
    return [
        Serving(
            head=geometry.index,
            stride=stride,
            cell=(int(matches.columns[row]), int(matches.rows[row])),
            anchor=int(matches.anchors[row]),
            role=Role.EXTRA if bool(matches.extra[row]) else Role.RESPONSIBLE,
            iou=float(ledger.iou[row]),
            anchor_iou=float(matches.anchor_iou[row]),
        )
        for row in (matches.objects == index).nonzero()[:, 0].tolist()
    ]


Detail = Literal["summary", "objects", "cells"]


@dataclass(frozen=True)
class Term:
    """One term of the loss: ``weighted`` counts towards the total, ``raw`` is the same before its weight."""

    raw: Tensor
    weighted: Tensor


@dataclass(frozen=True)
class Marginal:
    """Weighted costs along one axis: ``total`` float [K] and its split by term; everything sums to the total."""

    total: Tensor
    terms: Mapping[str, Tensor]


@dataclass(frozen=True)
class ObjectMarginal:
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
    """A loss and its account.

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
    ledgers: tuple[HeadLedger, ...]
    raw_cube: Tensor
    factors: Tensor
    darknet: DarknetState | None = None

    @cached_property
    def terms(self) -> dict[str, Term]:
        """Terms that this loss has, by name."""
        raw = self.raw_cube.sum((0, 2)) / self.divisor
        weighted = self._cube.sum((0, 2))
        return {name: Term(raw[TERMS.index(name)], weighted[TERMS.index(name)]) for name in self._names}

    @cached_property
    def box_parts(self) -> dict[str, Term]:
        """The box terms, split: center and size, or overlap (1 - IoU), enclosure, distance and aspect."""
        parts: dict[str, Term] = {}
        for head, ledger in enumerate(self.ledgers):
            for name, value in ledger.parts.items():
                term = {"centre": "xy", "size": "wh"}.get(name, "box")
                raw = value.detach().sum() / self.divisor
                weighted = raw * self.factors[head, TERMS.index(term)]
                known = parts.get(name)
                parts[name] = Term(raw + known.raw, weighted + known.weighted) if known else Term(raw, weighted)
        return parts

    @cached_property
    def by_scale(self) -> Marginal:
        """Costs by head, in the order of the head tensors."""
        return self._marginal(self._cube.sum(2).T)

    @cached_property
    def by_image(self) -> Marginal:
        """Costs by image, as they count towards the total."""
        return self._marginal(self._cube.sum(0))

    @property
    def image_losses(self) -> Tensor:
        """Loss float [B] of each image by itself: the same alone and in any batch; its mean is the total."""
        return self.by_image.total * self.divisor

    @cached_property
    def by_object(self) -> ObjectMarginal:
        """Costs by object, in the order of the ground truth; needs detail ``objects`` or ``cells``."""
        self._need("objects")
        served = self._weigh([ledger.by_object(self.num_objects) for ledger in self.ledgers])
        rest = self._weigh([ledger.background() for ledger in self.ledgers])
        return ObjectMarginal(
            total=served.sum(0),
            terms={name: served[TERMS.index(name)] for name in self._names},
            background=rest.sum(0),
            background_terms={name: rest[TERMS.index(name)] for name in self._names},
        )

    def by_cell(self, term: str) -> tuple[Tensor, ...]:
        """Return the weighted cost of one term at every predictor, [B, A, h, w] per head; needs detail ``cells``."""
        self._need("cells")
        if term not in self._names:
            raise LossError(f"expected a term of {', '.join(self._names)}, got {term!r}")
        return tuple(
            ledger.by_cell(term) * self.factors[head, TERMS.index(term)] / self.divisor
            for head, ledger in enumerate(self.ledgers)
        )

    @cached_property
    def assignment(self) -> Assignment:
        """Who serves what: roles of all predictors, fates of all objects."""
        self._need("objects")
        return Assignment(self.ledgers, self.num_objects, prior="prior" in self._names)

    @property
    def fates(self) -> Tensor:
        """What became of each object, ``Fate`` as uint8 [N]."""
        return self.assignment.fates

    def lost_objects(self) -> list[int]:
        """Return the objects that no predictor serves, in the order of the ground truth."""
        return [int(i) for i in (self.fates != Fate.SERVED).nonzero()[:, 0]]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        present = {
            name for ledger in self.ledgers for name in (*ledger.by_match, *ledger.by_slot, *ledger.by_predictor)
        }
        return tuple(name for name in TERMS if name in present)

    @cached_property
    def _cube(self) -> Tensor:
        return self.raw_cube * self.factors[:, :, None] / self.divisor

    def _weigh(self, raw_by_head: list[Tensor]) -> Tensor:
        return (torch.stack(raw_by_head) * self.factors[:, :, None] / self.divisor).sum(0)

    def _marginal(self, by_term: Tensor) -> Marginal:
        return Marginal(by_term.sum(0), {name: by_term[TERMS.index(name)] for name in self._names})

    def _need(self, detail: Detail) -> None:
        order = ("summary", "objects", "cells")
        if order.index(self.detail) < order.index(detail):
            raise LossError(f"expected a report of detail {detail!r} or finer, got {self.detail!r}")

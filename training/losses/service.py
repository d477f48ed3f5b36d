"""Who serves what: the assignment as a report shows it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from training.assignment.roles import Fate, Role
from training.losses.ledger import HeadLedger


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

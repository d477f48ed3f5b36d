"""The book in which every cost of a batch is entered once, and from which the total and all accounts are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from training.assignment.collisions import Slots
from training.assignment.geometry import HeadGeometry
from training.assignment.matches import HeadMatches

TERMS = ("xy", "wh", "box", "objectness", "no_objectness", "classification", "prior")


@dataclass(frozen=True)
class HeadLedger:
    """Raw costs of one head, on the graph.

    ``by_match`` float [R] per pair of predictor and object; ``by_slot`` float [P] per predictor that serves objects,
    shared equally among them; ``by_predictor`` float [B, A, h, w] for the others. ``parts`` float [R] split box terms.
    ``iou`` float [R] is the predicted overlap of each pair; ``ignored`` bool [B, A, h, w]; ``wanted`` int64 are the
    objects that had a predictor here before collisions were resolved.
    """

    geometry: HeadGeometry
    slots: Slots
    by_match: dict[str, Tensor]
    by_slot: dict[str, Tensor]
    by_predictor: dict[str, Tensor]
    parts: dict[str, Tensor]
    iou: Tensor
    ignored: Tensor
    wanted: Tensor

    @property
    def matches(self) -> HeadMatches:
        """The pairs of predictor and object that the ledger accounts for."""
        return self.slots.matches

    def detached(self) -> HeadLedger:
        """Return the same ledger off the graph."""
        return replace(
            self,
            by_match={name: value.detach() for name, value in self.by_match.items()},
            by_slot={name: value.detach() for name, value in self.by_slot.items()},
            by_predictor={name: value.detach() for name, value in self.by_predictor.items()},
            parts={name: value.detach() for name, value in self.parts.items()},
        )

    def by_image(self) -> Tensor:
        """Return raw costs [T, B] by term and picture, on the graph."""
        cube = self._zeros(len(TERMS), self.geometry.batch_size)
        if self.by_predictor:
            sums = torch.stack([costs.sum((1, 2, 3)) for costs in self.by_predictor.values()])
            cube = cube.index_put((_rows_of(self.by_predictor, sums),), sums, accumulate=True)
        for costs, images in ((self.by_match, self.matches.images), (self.by_slot, self.slots.images)):
            if costs:
                values = torch.stack(tuple(costs.values()))
                places = (_rows_of(costs, values)[:, None], images[None])
                cube = cube.index_put(places, values, accumulate=True)
        return cube

    def by_object(self, num_objects: int) -> Tensor:
        """Return raw costs [T, N] by term and object, detached; costs of predictors without object are not in it."""
        rows = dict.fromkeys(TERMS, self._zeros(num_objects))
        for term, costs in self.by_match.items():
            rows[term] = rows[term].index_add(0, self.matches.objects, costs.detach())
        for term, costs in self.by_slot.items():
            shared = costs.detach()[self.slots.of_match] * self.slots.share.to(costs)
            rows[term] = rows[term].index_add(0, self.matches.objects, shared)
        return torch.stack(tuple(rows.values()))

    def background(self) -> Tensor:
        """Return raw costs [T, B] of predictors without object by term and picture, detached."""
        rows = dict.fromkeys(TERMS, self._zeros(self.geometry.batch_size))
        for term, costs in self.by_predictor.items():
            rows[term] = costs.detach().sum((1, 2, 3))
        return torch.stack(tuple(rows.values()))

    def by_cell(self, term: str) -> Tensor:
        """Return the raw cost of one term at every predictor [B, A, h, w], detached."""
        plane = torch.zeros(self.geometry.shape, dtype=self.iou.dtype, device=self.iou.device)
        if term in self.by_predictor:
            plane += self.by_predictor[term].detach()
        flat = plane.view(-1)
        if term in self.by_match:
            flat.index_add_(0, self.matches.predictors, self.by_match[term].detach())
        if term in self.by_slot:
            flat.index_add_(0, self.slots.predictors, self.by_slot[term].detach())
        return plane

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.iou.dtype, device=self.iou.device)


def _rows_of(costs: dict[str, Tensor], like: Tensor) -> Tensor:
    return torch.tensor([TERMS.index(term) for term in costs], device=like.device)

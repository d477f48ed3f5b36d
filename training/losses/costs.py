"""The book in which every cost of a batch is entered once, and from which the total and all accounts are drawn.

A loss that is not finite is an error that says where.

Objects that count less than others: what MixUp leaves of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yoloscope.models.errors import NonFiniteLossError
from yoloscope.training.assignment.collisions import Slots
from yoloscope.training.assignment.geometry import HeadGeometry
from yoloscope.training.assignment.matches import HeadMatches


def require_finite(total: Tensor, ledgers: Sequence[HeadLedger], cube: Tensor) -> None:
    """Raise NonFiniteLossError, naming image, object and term, unless the total is finite.

    ``cube`` float [H, T, B] are the costs by head, term and image; it is looked at only after the total failed.
    """
    if bool(torch.isfinite(total.detach())):
        return
    bad = (~torch.isfinite(cube.detach())).nonzero()
    if not len(bad):
        raise NonFiniteLossError(f"the sum of finite costs is {float(total.detach())}")
    head, term, image = bad[0].tolist()
    value = float(cube.detach()[head, term, image])
    raise NonFiniteLossError(
        f"image {image}, {_where(ledgers[head], TERMS[term], image)}: term {TERMS[term]!r} of head {head} is {value}"
    )


def _where(ledger: HeadLedger, term: str, image: int) -> str:
    matches, slots = ledger.matches, ledger.slots
    if term in ledger.by_match:
        costs, images, objects = ledger.by_match[term], matches.images, matches.objects
    elif term in ledger.by_slot:
        costs, images, objects = ledger.by_slot[term], slots.images, matches.objects[slots.first]
    else:
        where = (~torch.isfinite(ledger.by_predictor[term][image])).nonzero()
        anchor, row, column = where[0].tolist()
        return f"no object (cell column {column}, row {row}, anchor {anchor})"
    which = ((~torch.isfinite(costs)) & (images == image)).nonzero()
    return f"object {int(objects[which[0, 0]])}"


def weigh_objects(ledger: HeadLedger, weights: Tensor) -> HeadLedger:
    """Return the ledger with every cost of an object multiplied by its weight, ``weights`` float [N].

    A predictor that serves several objects pays its common costs at their mean weight. What predictors without an
    object cost does not change. Source: Zhang et al., Bag of Freebies for Training Object Detection Neural Networks,
    2019, section 3.1 (the weighted loss of mixed images).
    """
    of_match = weights.to(ledger.iou)[ledger.matches.objects]
    slots = ledger.slots
    total = torch.zeros(len(slots), dtype=of_match.dtype, device=of_match.device)
    of_slot = total.index_add(0, slots.of_match, of_match) / slots.counts.clamp(min=1)
    return replace(
        ledger,
        by_match={name: costs * of_match for name, costs in ledger.by_match.items()},
        by_slot={name: costs * of_slot for name, costs in ledger.by_slot.items()},
        parts={name: costs * of_match for name, costs in ledger.parts.items()},
    )


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
        """Return raw costs [T, B] by term and image, on the graph."""
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
        """Return raw costs [T, B] of predictors without object by term and image, detached."""
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

"""Unweighted costs of one head, by matched pair, positive, predictor and term; every breakdown sums them.

``apply_object_weights`` scales the costs of objects (MixUp), ``require_finite`` names what is not finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yoloscope.models.errors import NonFiniteLossError
from yoloscope.training.assignment.assign import HeadAssignment, Positives
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches

TERMS = ("xy", "wh", "box", "objectness", "no_objectness", "classification", "prior")


@dataclass(frozen=True)
class HeadCosts:
    """Raw costs of one head, on the graph.

    ``by_match`` float [R] per pair of predictor and object; ``by_positive`` float [P] per predictor with objects,
    shared equally among them; ``by_predictor`` float [B, A, h, w] for the others. ``parts`` float [R] split box terms.
    ``iou`` float [R] is the predicted overlap of each pair.
    """

    assignment: HeadAssignment
    by_match: dict[str, Tensor]
    by_positive: dict[str, Tensor]
    by_predictor: dict[str, Tensor]
    parts: dict[str, Tensor]
    iou: Tensor

    @property
    def positives(self) -> Positives:
        """The predictors that have objects."""
        return self.assignment.positives

    @property
    def matches(self) -> HeadMatches:
        """The pairs of predictor and object."""
        return self.assignment.positives.matches

    @property
    def geometry(self) -> HeadGeometry:
        """The grid of the head."""
        return self.matches.geometry

    def detached(self) -> HeadCosts:
        """Return the same costs off the graph."""
        return replace(
            self,
            by_match={name: value.detach() for name, value in self.by_match.items()},
            by_positive={name: value.detach() for name, value in self.by_positive.items()},
            by_predictor={name: value.detach() for name, value in self.by_predictor.items()},
            parts={name: value.detach() for name, value in self.parts.items()},
        )

    def by_image(self) -> Tensor:
        """Return raw costs [T, B] by term and image, on the graph."""
        table = self._zeros(len(TERMS), self.geometry.batch_size)
        if self.by_predictor:
            sums = torch.stack([costs.sum((1, 2, 3)) for costs in self.by_predictor.values()])
            table = table.index_put((_rows_of(self.by_predictor, sums),), sums, accumulate=True)
        for costs, images in ((self.by_match, self.matches.images), (self.by_positive, self.positives.images)):
            if costs:
                values = torch.stack(tuple(costs.values()))
                places = (_rows_of(costs, values)[:, None], images[None])
                table = table.index_put(places, values, accumulate=True)
        return table

    def by_object(self, num_objects: int) -> Tensor:
        """Return raw costs [T, N] by term and object, detached; costs of predictors without object are not in it."""
        rows = dict.fromkeys(TERMS, self._zeros(num_objects))
        for term, costs in self.by_match.items():
            rows[term] = rows[term].index_add(0, self.matches.objects, costs.detach())
        for term, costs in self.by_positive.items():
            shared = costs.detach()[self.positives.of_match] * self.positives.share.to(costs)
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
        if term in self.by_positive:
            flat.index_add_(0, self.positives.predictors, self.by_positive[term].detach())
        return plane

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.iou.dtype, device=self.iou.device)


def _rows_of(costs: dict[str, Tensor], like: Tensor) -> Tensor:
    return torch.tensor([TERMS.index(term) for term in costs], device=like.device)


def require_finite(total: Tensor, heads: Sequence[HeadCosts], costs_by_head_term_image: Tensor) -> None:
    """Raise NonFiniteLossError, naming image, object and term, unless the total is finite.

    ``costs_by_head_term_image`` float [H, T, B] is looked at only after the total failed.
    """
    if bool(torch.isfinite(total.detach())):
        return
    bad = (~torch.isfinite(costs_by_head_term_image.detach())).nonzero()
    if not len(bad):
        raise NonFiniteLossError(f"the sum of finite costs is {float(total.detach())}")
    head, term, image = bad[0].tolist()
    value = float(costs_by_head_term_image.detach()[head, term, image])
    raise NonFiniteLossError(
        f"image {image}, {_where(heads[head], TERMS[term], image)}: term {TERMS[term]!r} of head {head} is {value}"
    )


def _where(head: HeadCosts, term: str, image: int) -> str:
    matches, positives = head.matches, head.positives
    if term in head.by_match:
        costs, images, objects = head.by_match[term], matches.images, matches.objects
    elif term in head.by_positive:
        costs, images, objects = head.by_positive[term], positives.images, matches.objects[positives.first]
    else:
        where = (~torch.isfinite(head.by_predictor[term][image])).nonzero()
        anchor, row, column = where[0].tolist()
        return f"no object (cell column {column}, row {row}, anchor {anchor})"
    which = ((~torch.isfinite(costs)) & (images == image)).nonzero()
    return f"object {int(objects[which[0, 0]])}"


def apply_object_weights(head: HeadCosts, weights: Tensor) -> HeadCosts:
    """Return the costs with every cost of an object multiplied by its weight, ``weights`` float [N] (MixUp).

    A predictor of several objects pays its common costs at their mean weight. What predictors without an object cost
    does not change. Source: Zhang et al., Bag of Freebies for Training Object Detection Neural Networks, 2019, section
    3.1 (the weighted loss of mixed images).
    """
    of_match = weights.to(head.iou)[head.matches.objects]
    positives = head.positives
    total = torch.zeros(len(positives), dtype=of_match.dtype, device=of_match.device)
    of_positive = total.index_add(0, positives.of_match, of_match) / positives.counts.clamp(min=1)
    return replace(
        head,
        by_match={name: costs * of_match for name, costs in head.by_match.items()},
        by_positive={name: costs * of_positive for name, costs in head.by_positive.items()},
        parts={name: costs * of_match for name, costs in head.parts.items()},
    )

"""Darknet's deltas as gradients and costs, and the variables that darknet itself would hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from yoloscope.models.layout import CLASSES, OBJECTNESS, H, W, X, Y
from yoloscope.training.assignment.assign import HeadAssignment, Positives
from yoloscope.training.losses.costs import HeadCosts


@dataclass(frozen=True)
class DarknetHeadState:
    """Darknet's variables for one head.

    ``output`` is l.output: [B, A*(5+C), h, w] ([yolo]), [B, h, w, A, 5+C] ([region]), [B, D] ([detection]).
    ``delta`` has the shape of the raw head; ``cost`` is what darknet prints, over the whole batch. [yolo] also counts
    ``total_bbox`` and ``rewritten_bbox``, and keeps ``labels`` (row of the ground truth) and ``class_ids`` int64
    [B, A, h, w], -1 where no object has its best anchor.
    """

    output: Tensor
    delta: Tensor
    cost: Tensor
    total_bbox: int = 0
    rewritten_bbox: int = 0
    labels: Tensor | None = None
    class_ids: Tensor | None = None


@dataclass(frozen=True)
class DarknetState:
    """Darknet's variables for all heads of a network."""

    heads: tuple[DarknetHeadState, ...]


@dataclass(frozen=True)
class HeadDelta:
    """Deltas of one head with their assignment; ``plain`` is delta as [B, A, 5+C, h, w]."""

    state: DarknetHeadState
    plain: Tensor
    assignment: HeadAssignment
    iou: Tensor
    has_prior: bool = False


class _Context(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]


class _InjectGradient(Function):
    """A zero whose gradient with respect to the head is minus delta."""

    @staticmethod
    def forward(ctx: _Context, _head: Tensor, delta: Tensor) -> Tensor:
        ctx.save_for_backward(delta)
        return delta.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None]:
        (delta,) = ctx.saved_tensors
        return delta * -gradient, None


_inject = cast("Callable[[Tensor, Tensor], Tensor]", _InjectGradient.apply)


def inject_gradient(head: Tensor, delta: Tensor) -> Tensor:
    """Return a scalar 0 on the graph, whose gradient with respect to ``head`` is minus ``delta``."""
    return _inject(head, delta.to(head.dtype)).to(delta.dtype)


def delta_costs(result: HeadDelta) -> HeadCosts:
    """Return the squared deltas of a head as costs; objects of one predictor share equally."""
    squared = result.plain.square()
    positives = result.assignment.positives
    box = squared[:, :, [X, Y, W, H]]
    xy, wh = box[:, :, :2].sum(2), box[:, :, 2:].sum(2)
    objectness, classes = squared[:, :, OBJECTNESS], squared[:, :, CLASSES:].sum(2)
    share = positives.share.to(xy)
    by_match = {name: _at(plane, positives)[positives.of_match] * share for name, plane in (("xy", xy), ("wh", wh))}
    by_predictor = {"no_objectness": _elsewhere(objectness, positives)}
    if result.has_prior:
        by_predictor["prior"] = _elsewhere(xy + wh, positives)
    return HeadCosts(
        assignment=result.assignment,
        by_match=by_match,
        by_positive={"objectness": _at(objectness, positives), "classification": _at(classes, positives)},
        by_predictor=by_predictor | {"classification": _elsewhere(classes, positives)},
        parts={"centre": by_match["xy"], "size": by_match["wh"]},
        iou=result.iou.to(xy),
    )


def _at(plane: Tensor, positives: Positives) -> Tensor:
    return plane.reshape(-1)[positives.predictors]


def _elsewhere(plane: Tensor, positives: Positives) -> Tensor:
    rest = plane.clone(memory_format=torch.contiguous_format)
    rest.view(-1)[positives.predictors] = 0
    return rest


def occurrence(keys: Tensor) -> Tensor:
    """Return, for each entry, how many earlier entries have the same key."""
    order = keys.argsort(stable=True)
    ranked = keys[order]
    starts = torch.searchsorted(ranked, ranked)
    counted = torch.arange(len(keys), device=keys.device) - starts
    return torch.empty_like(counted).scatter_(0, order, counted)

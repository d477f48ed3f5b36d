"""A bound on gradients, as part of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable


class _BoundContext(FunctionCtx):
    limit: float


class _Bound(Function):
    @staticmethod
    def forward(ctx: _BoundContext, x: Tensor, limit: float) -> Tensor:
        ctx.limit = limit
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: _BoundContext, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.clamp(-ctx.limit, ctx.limit), None


_bound = cast("Callable[[Tensor, float], Tensor]", _Bound.apply)


def bound_gradient(x: Tensor, limit: float | None) -> Tensor:
    """Return ``x`` itself; what flows back through it is clamped to +-``limit``, entry by entry (None: no bound)."""
    return x if limit is None else _bound(x, limit)

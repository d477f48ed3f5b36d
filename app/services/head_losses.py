"""The report of raw heads and its gradient, in PyTorch, once the heads are found to fit their spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from yoloscope.app.services.image_scores import one_torch_thread
from yoloscope.app.services.losses import (
    MAX_MATCHES,
    MAX_OBJECTS,
    MAX_PAIRS,
    MAX_VALUES,
    MAX_VALUES_OF_CELLS,
    LossQuery,
)
from yoloscope.models.errors import NonFiniteLossError, RequestError, RequestTooLargeError, SpecError
from yoloscope.training.assignment.grid import head_geometries
from yoloscope.training.losses.compute import compute_loss
from yoloscope.training.losses.report import LossReport


def loss_of_arrays(arrays: Sequence[NDArray[Any]], query: LossQuery) -> tuple[LossReport, tuple[Tensor, ...]]:
    """Return what ``compute_report`` does; raises RequestError or RequestTooLargeError for heads that do not fit."""
    with one_torch_thread():
        heads = tuple(torch.from_numpy(array) for array in arrays)
        _check_heads(heads, query)
        return compute_report(heads, query)


def compute_report(heads: Sequence[Tensor], query: LossQuery) -> tuple[LossReport, tuple[Tensor, ...]]:
    """Return the report and, with detail ``cells``, the gradient of the total by each head."""
    wants_gradient = query.detail == "cells"
    leaves = tuple(head.clone().requires_grad_() if wants_gradient else head for head in heads)
    with torch.set_grad_enabled(wants_gradient):
        report = compute_loss(
            leaves,
            query.truth,
            query.spec,
            query.preset,
            query.detail,
            images_seen=query.images_seen,
            divisor=query.divisor,
        )
        gradients = torch.autograd.grad(report.total, leaves) if wants_gradient else ()
    _require_finite(report, gradients)
    return report, gradients


def _check_heads(heads: Sequence[Tensor], query: LossQuery) -> None:
    batch = query.truth.batch_size
    for index, head in enumerate(heads):
        pointer = f"/heads/{index}"
        rank = 2 if query.spec.heads[index].kind == "detection" else 4
        if head.ndim != rank or head.shape[0] != batch:
            axes = "[images, values]" if rank == 2 else "[images, channels, rows, columns]"
            raise RequestError(f"expected {axes} of {batch} images, got shape {list(head.shape)}", pointer)
        if not bool(torch.isfinite(head).all()):
            where = (~torch.isfinite(head)).nonzero()[0].tolist()
            raise RequestError(f"expected finite values, got {float(head[tuple(where)])} at {where}", pointer)
    try:
        geometries = head_geometries(heads, query.spec)
    except SpecError as error:
        raise RequestError(str(error), "/heads") from error
    most = int(torch.bincount(query.truth.image_index, minlength=1).max())
    predictors = sum(batch * g.num_anchors * g.grid_width * g.grid_height for g in geometries)
    values = sum(head.numel() for head in heads)
    anchors = sum(g.num_anchors for g in geometries)
    _require_at_most(len(query.truth), MAX_OBJECTS, "objects in all images", "/labels")
    _require_at_most(len(query.truth) * anchors, MAX_MATCHES, "objects times anchors", "/labels")
    _require_at_most(values, MAX_VALUES, "values in all heads")
    _require_at_most(predictors * most, MAX_PAIRS, "predictors times objects of one image")
    if query.detail == "cells":
        _require_at_most(values, MAX_VALUES_OF_CELLS, "values in all heads for detail cells")


def _require_at_most(got: int, most: int, what: str, pointer: str = "/heads") -> None:
    if got > most:
        raise RequestTooLargeError(f"expected at most {most} {what}, got {got}", pointer)


def _require_finite(report: LossReport, gradients: Sequence[Tensor]) -> None:
    """Raise NonFiniteLossError where a part of the report is not finite although the total is."""
    for index, head in enumerate(report.heads):
        named = {"overlap": head.iou, "overlap with an anchor": head.matches.anchor_iou, **head.parts}
        for name, values in named.items():
            if not bool(torch.isfinite(values).all()):
                raise NonFiniteLossError(f"head {index}: a value of {name} is not finite")
    for index, gradient in enumerate(gradients):
        if not bool(torch.isfinite(gradient).all()):
            raise NonFiniteLossError(f"head {index}: the gradient is not finite")

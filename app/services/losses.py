"""The loss of raw heads that a client sends, with any preset; no model is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from yoloscope.app.services.inference import Timing
from yoloscope.app.services.scoring import one_torch_thread
from yoloscope.app.services.state import Services
from yoloscope.models.errors import NonFiniteLossError, RequestError, RequestTooLargeError, SpecError
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import head_geometries
from yoloscope.training.losses.compute import compute_loss
from yoloscope.training.losses.preset import LossPreset
from yoloscope.training.losses.report import Detail, LossReport

MAX_VALUES: Final = 2**24
"""Of all heads of a request together."""
MAX_VALUES_OF_CELLS: Final = 2**20
"""The same where the answer has them one by one."""
MAX_OBJECTS: Final = 10_000
"""Of all images of a request together."""
MAX_MATCHES: Final = 2**18
"""Objects times anchors: as many predictors may be assigned."""
MAX_PAIRS: Final = 2**27
"""Predictors of the batch times the most objects of an image: what the ignore rule compares."""


@dataclass(frozen=True)
class LossQuery:
    """Inputs of a loss. ``read_heads`` gives the raw heads, in the order of ``spec.heads``, when their turn comes."""

    read_heads: Callable[[], Sequence[NDArray[Any]]]
    truth: GroundTruth
    spec: DetectorSpec
    preset: LossPreset
    detail: Detail = "objects"
    images_seen: int | None = None
    divisor: float | None = None


@dataclass(frozen=True)
class LossRun:
    """The report, with detail ``cells`` the gradient of every head, and the times."""

    report: LossReport
    truth: GroundTruth
    gradients: tuple[Tensor, ...]
    timing: Timing


async def compute(services: Services, query: LossQuery, timing: Timing) -> LossRun:
    """Return the loss; it takes its turn in the inference thread, so that one body at a time is unpacked.

    Raises BusyError, DeadlineError, RequestError for heads that do not fit the spec, RequestTooLargeError, LabelError,
    PresetError or NonFiniteLossError.
    """
    with services.admit(query.truth.batch_size), timing.stage("queue"):
        report, gradients = await services.inference.run(_run, timing, query)
    timing.subtract("queue", "loss")
    return LossRun(report, query.truth, gradients, timing)


def _run(timing: Timing, query: LossQuery) -> tuple[LossReport, tuple[Tensor, ...]]:
    with timing.stage("loss"), one_torch_thread():
        heads = tuple(torch.from_numpy(head) for head in query.read_heads())
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

"""The account of a step as the scalars of TensorBoard and CSV."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.spec import DetectorSpec
from training.losses.distillation import DISTILLED
from training.losses.report import LossReport


def log_values(reports: Sequence[LossReport], spec: DetectorSpec) -> dict[str, float]:
    """Return the mean over mini-batches of the total, every weighted term, and each of them at every scale.

    Keys are ``loss``, ``loss/TERM``, ``loss/stride_S`` and ``loss/stride_S/TERM``.
    """
    values: dict[str, float] = {}
    for report in reports:
        for key, value in _of_report(report, spec).items():
            values[key] = values.get(key, 0.0) + value / len(reports)
    return values


def distilled_values(costs: Sequence[Tensor], spec: DetectorSpec) -> dict[str, float]:
    """Return the mean over mini-batches of what the teachers cost, [H, 3] each.

    Keys are ``distill``, ``distill/TERM``, ``distill/stride_S`` and ``distill/stride_S/TERM``.
    """
    mean = torch.stack(tuple(costs)).mean(0)
    rows = torch.cat((mean, mean.sum(0, keepdim=True))).tolist()
    values: dict[str, float] = {}
    for place, row in zip((*(f"distill/{stride}" for stride in _strides(spec)), "distill"), rows, strict=True):
        values[place] = sum(row)
        values |= {f"{place}/{term}": value for term, value in zip(DISTILLED, row, strict=True)}
    return values


def _strides(spec: DetectorSpec) -> list[str]:
    """Return the names of the heads in the log."""
    return [f"stride_{round(spec.head_stride(index)[0])}" for index in range(len(spec.heads))]


def _of_report(report: LossReport, spec: DetectorSpec) -> dict[str, float]:
    """Return the values of one mini-batch, read from the device in two goes."""
    scales = report.by_scale
    by_scale = torch.stack((scales.total, *scales.terms.values()))
    rows = torch.cat((by_scale, by_scale.sum(1, keepdim=True)), 1).tolist()
    names = ["", *(f"/{name}" for name in scales.terms)]
    places = [f"loss/{stride}" for stride in _strides(spec)]
    values = {f"loss{name}": row[-1] for name, row in zip(names, rows, strict=True)}
    values["loss"] = float(report.total.detach())
    for index, place in enumerate(places):
        values |= {f"{place}{name}": row[index] for name, row in zip(names, rows, strict=True)}
    return values

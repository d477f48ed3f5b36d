"""The account of a step as the scalars of TensorBoard and CSV."""

from __future__ import annotations

from collections.abc import Sequence

from models.spec import DetectorSpec
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


def _of_report(report: LossReport, spec: DetectorSpec) -> dict[str, float]:
    scales = report.by_scale
    values = {"loss": float(report.total.detach())}
    for name, term in scales.terms.items():
        values[f"loss/{name}"] = float(term.sum())
    for index, total in enumerate(scales.total.tolist()):
        place = f"loss/stride_{round(spec.head_stride(index)[0])}"
        values[place] = total
        for name, term in scales.terms.items():
            values[f"{place}/{name}"] = float(term[index])
    return values

"""Terms, roles and assigned predictors of a loss report as entries of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from yoloscope.app.schemas.score import ObjectAssignment, PredictorRole, Terms, TermValue
from yoloscope.training.assignment.grid import Role
from yoloscope.training.losses.costs import TERMS
from yoloscope.training.losses.report import AssignedPredictor, LossReport, Term

ROLE_NAMES: dict[Role, PredictorRole] = {
    Role.BACKGROUND: "background",
    Role.IGNORED: "ignored",
    Role.RESPONSIBLE: "responsible",
    Role.EXTRA: "extra",
    Role.PRIOR: "prior",
}


def term_values(terms: Mapping[str, Term]) -> Terms:
    """Return terms of the total, by name."""
    return {name: TermValue(raw=float(term.raw), weighted=float(term.weighted)) for name, term in terms.items()}


def split_terms(
    raw: Tensor, weighted: Mapping[str, Tensor], divisor: float, names: Iterable[str] | None = None
) -> list[Terms]:
    """Return the terms of each of K objects, images or scales; ``names`` are all of ``weighted`` by default.

    ``raw`` float [T, K] is before weight and divisor, ``weighted`` float [K] by term.
    """
    names = list(weighted if names is None else names)
    raws = {name: (raw[TERMS.index(name)] / divisor).tolist() for name in names}
    values = {name: weighted[name].tolist() for name in names}
    return [
        {name: TermValue(raw=raws[name][k], weighted=values[name][k]) for name in names} for k in range(raw.shape[1])
    ]


def scale_terms(report: LossReport) -> list[Terms]:
    """Return the terms of each scale (head)."""
    return split_terms(report.costs_by_head_term_image.sum(2).T, report.by_scale.terms, report.divisor)


def object_terms(report: LossReport, names: Iterable[str] | None = None) -> list[Terms]:
    """Return the terms of each object, in the order of the ground truth."""
    raw = torch.stack([head.by_object(report.num_objects) for head in report.heads]).sum(0)
    return split_terms(raw, report.by_object.terms, report.divisor, names)


def background_terms(report: LossReport, names: Iterable[str] | None = None) -> list[Terms]:
    """Return the terms of the predictors without object, image by image."""
    raw = torch.stack([head.background() for head in report.heads]).sum(0)
    return split_terms(raw, report.by_object.background_terms, report.divisor, names)


def count_roles(roles: Tensor) -> dict[PredictorRole, int]:
    """Return how many predictors have each role, without roles that none has; ``roles`` are those of a head."""
    counts = torch.bincount(roles.flatten(), minlength=len(Role)).tolist()
    return {name: counts[role] for role, name in ROLE_NAMES.items() if counts[role]}


def assignment_entry(assigned: AssignedPredictor, report: LossReport) -> ObjectAssignment:
    """Return an assigned predictor as an answer has it."""
    return ObjectAssignment(
        stride=assigned.stride[0],
        cell=list(assigned.cell),
        anchor=assigned.anchor,
        anchor_px=anchor_px(report, assigned.head, assigned.anchor),
        role=ROLE_NAMES[assigned.role],
        iou=assigned.iou,
        anchor_iou=assigned.anchor_iou,
    )


def anchor_px(report: LossReport, head: int, anchor: int) -> list[float] | None:
    """Return width and height of an anchor in network pixels; None where a head has no anchors."""
    anchors = report.heads[head].geometry.anchors_px
    return list(anchors[anchor]) if anchors else None

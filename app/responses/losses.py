"""A loss report as the answer to a request that sent the heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from yoloscope.app.responses.score import ROLE_NAMES, assignment_entry
from yoloscope.app.schemas.losses import DarknetHead, ImageLoss, LossesAnswer, ObjectLoss, ScaleLoss
from yoloscope.app.schemas.score import Background, Terms, TermValue
from yoloscope.app.services.losses import LossRun
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import MatchStatus, Role
from yoloscope.training.losses.costs import TERMS
from yoloscope.training.losses.report import LossReport, Term

_STATUS_NAMES = {
    MatchStatus.ASSIGNED: "assigned",
    MatchStatus.COLLIDED: "collided",
    MatchStatus.LOST: "lost",
}


def losses_answer(run: LossRun) -> LossesAnswer:
    """Return the answer document, as detailed as its report is."""
    report = run.report
    detailed = report.detail != "summary"
    return LossesAnswer(
        preset=report.preset,
        preset_version=report.version,
        normalizer=report.normalizer,
        divisor=report.divisor,
        images=run.truth.batch_size,
        objects=report.num_objects,
        total=float(report.total.detach()),
        terms=_by_name(report.terms),
        box_parts=_by_name(report.box_parts),
        by_scale=[_scale(run, head) for head in range(len(report.heads))],
        by_image=list(_images(report)),
        by_object=list(_objects(report, run.truth)) if detailed else None,
        background=list(_background(report)) if detailed else None,
        darknet=_darknet(report),
        timing_ms=run.timing.milliseconds(),
    )


def _by_name(terms: Mapping[str, Term]) -> Terms:
    return {name: TermValue(raw=float(term.raw), weighted=float(term.weighted)) for name, term in terms.items()}


def _split(raw: Tensor, weighted: Mapping[str, Tensor], divisor: float) -> list[Terms]:
    """Return the terms of each of K entries; ``raw`` is [T, K] before the divisor, ``weighted`` [K] by term."""
    count = raw.shape[1]
    raws = {name: (raw[TERMS.index(name)] / divisor).tolist() for name in weighted}
    values = {name: costs.tolist() for name, costs in weighted.items()}
    return [{name: TermValue(raw=raws[name][k], weighted=values[name][k]) for name in weighted} for k in range(count)]


def _scale(run: LossRun, head: int) -> ScaleLoss:
    report = run.report
    geometry = report.heads[head].geometry
    terms = _split(report.costs_by_head_term_image.sum(2).T, report.by_scale.terms, report.divisor)[head]
    scale = ScaleLoss(
        stride=[geometry.net_width / geometry.grid_width, geometry.net_height / geometry.grid_height],
        grid=[geometry.grid_width, geometry.grid_height],
        total=float(report.by_scale.total[head]),
        terms=terms,
    )
    if report.detail == "summary":
        return scale
    roles = report.assignment.roles[head]
    counts = torch.bincount(roles.flatten(), minlength=len(Role)).tolist()
    scale.roles = {name: counts[role] for role, name in ROLE_NAMES.items() if counts[role]}
    if report.detail == "cells":
        scale.cells = {name: report.by_cell(name)[head].tolist() for name in report.terms}
        scale.cell_roles = roles.tolist()
        scale.gradient = run.gradients[head].tolist()
    return scale


def _images(report: LossReport) -> Iterator[ImageLoss]:
    terms = _split(report.costs_by_head_term_image.sum(0), report.by_image.terms, report.divisor)
    totals, losses = report.by_image.total.tolist(), report.image_losses.tolist()
    for image, split in enumerate(terms):
        yield ImageLoss(loss=losses[image], total=totals[image], terms=split)


def _objects(report: LossReport, truth: GroundTruth) -> Iterator[ObjectLoss]:
    raw = torch.stack([head.by_object(report.num_objects) for head in report.heads]).sum(0)
    terms = _split(raw, report.by_object.terms, report.divisor)
    totals, statuses = report.by_object.total.tolist(), report.statuses.tolist()
    images, first = truth.image_index.tolist(), truth.first_rows.tolist()
    for row, served in enumerate(report.assignment.by_object()):
        yield ObjectLoss(
            image=images[row],
            index=row - first[images[row]],
            class_id=int(truth.class_ids[row]),
            status=_STATUS_NAMES[MatchStatus(statuses[row])],
            total=totals[row],
            terms=terms[row],
            assignments=[assignment_entry(predictor, report) for predictor in served],
        )


def _background(report: LossReport) -> Iterator[Background]:
    raw = torch.stack([head.background() for head in report.heads]).sum(0)
    terms = _split(raw, report.by_object.background_terms, report.divisor)
    for total, split in zip(report.by_object.background.tolist(), terms, strict=True):
        yield Background(total=total, terms=split)


def _darknet(report: LossReport) -> list[DarknetHead] | None:
    if report.darknet is None:
        return None
    return [
        DarknetHead(cost=float(head.cost), total_bbox=head.total_bbox, rewritten_bbox=head.rewritten_bbox)
        for head in report.darknet.heads
    ]

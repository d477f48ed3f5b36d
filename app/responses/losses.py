"""A loss report as the answer to a request that sent the heads."""

from __future__ import annotations

from collections.abc import Iterator

from yoloscope.app.responses.terms import (
    assignment_entry,
    background_terms,
    count_roles,
    object_terms,
    scale_terms,
    split_terms,
    term_values,
)
from yoloscope.app.schemas.losses import DarknetHead, ImageLoss, LossesAnswer, ObjectLoss, ScaleLoss
from yoloscope.app.schemas.score import Background
from yoloscope.app.services.losses import LossRun
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import MatchStatus
from yoloscope.training.losses.report import LossReport

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
        terms=term_values(report.terms),
        box_parts=term_values(report.box_parts),
        by_scale=[_scale(run, head) for head in range(len(report.heads))],
        by_image=list(_images(report)),
        by_object=list(_objects(report, run.truth)) if detailed else None,
        background=list(_background(report)) if detailed else None,
        darknet=_darknet(report),
        timing_ms=run.timing.milliseconds(),
    )


def _scale(run: LossRun, head: int) -> ScaleLoss:
    report = run.report
    geometry = report.heads[head].geometry
    scale = ScaleLoss(
        stride=[geometry.net_width / geometry.grid_width, geometry.net_height / geometry.grid_height],
        grid=[geometry.grid_width, geometry.grid_height],
        total=float(report.by_scale.total[head]),
        terms=scale_terms(report)[head],
    )
    if report.detail == "summary":
        return scale
    roles = report.assignment.roles[head]
    scale.roles = count_roles(roles)
    if report.detail == "cells":
        scale.cells = {name: report.by_cell(name)[head].tolist() for name in report.terms}
        scale.cell_roles = roles.tolist()
        scale.gradient = run.gradients[head].tolist()
    return scale


def _images(report: LossReport) -> Iterator[ImageLoss]:
    terms = split_terms(report.costs_by_head_term_image.sum(0), report.by_image.terms, report.divisor)
    totals, losses = report.by_image.total.tolist(), report.image_losses.tolist()
    for image, split in enumerate(terms):
        yield ImageLoss(loss=losses[image], total=totals[image], terms=split)


def _objects(report: LossReport, truth: GroundTruth) -> Iterator[ObjectLoss]:
    terms = object_terms(report)
    totals, statuses = report.by_object.total.tolist(), report.statuses.tolist()
    images, first = truth.image_index.tolist(), truth.first_rows.tolist()
    for row, assigned in enumerate(report.assignment.by_object()):
        yield ObjectLoss(
            image=images[row],
            index=row - first[images[row]],
            class_id=int(truth.class_ids[row]),
            status=_STATUS_NAMES[MatchStatus(statuses[row])],
            total=totals[row],
            terms=terms[row],
            assignments=[assignment_entry(predictor, report) for predictor in assigned],
        )


def _background(report: LossReport) -> Iterator[Background]:
    for total, split in zip(report.by_object.background.tolist(), background_terms(report), strict=True):
        yield Background(total=total, terms=split)


def _darknet(report: LossReport) -> list[DarknetHead] | None:
    if report.darknet is None:
        return None
    return [
        DarknetHead(cost=float(head.cost), total_bbox=head.total_bbox, rewritten_bbox=head.rewritten_bbox)
        for head in report.darknet.heads
    ]

"""A loss report as the entries of an answer.

The objects of a loss report: where each was assigned, what the model predicted there, what it costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from yoloscope.app.responses.explanations import explain
from yoloscope.app.schemas.detect import CornerBox, ImageSize
from yoloscope.app.schemas.score import (
    Background,
    ImageScore,
    ObjectAssignment,
    ObjectPrediction,
    ObjectScore,
    PredictorRole,
    ScaleScore,
    ScoreAnswer,
    Terms,
    TermValue,
    UnexplainedPrediction,
    UnscoredObject,
)
from yoloscope.app.schemas.score import Predictor as PredictorEntry
from yoloscope.app.services.scoring import Scored, ScoreRun
from yoloscope.models.boxes import pairwise_iou
from yoloscope.training.assignment.anchors import shape_overlap
from yoloscope.training.assignment.grid import MatchStatus, Role
from yoloscope.training.data.annotations import lint
from yoloscope.training.diagnostics.predictions import Place
from yoloscope.training.diagnostics.unexplained import find_unexplained
from yoloscope.training.losses.costs import TERMS
from yoloscope.training.losses.report import AssignedPredictor, LossReport, Term

ROLE_NAMES: dict[Role, PredictorRole] = {
    Role.BACKGROUND: "background",
    Role.IGNORED: "ignored",
    Role.RESPONSIBLE: "responsible",
    Role.EXTRA: "extra",
    Role.PRIOR: "prior",
}
ANCHOR_MISFIT_IOU = 0.25
"""Below this overlap with every anchor, the shape of an object is one that the anchors do not provide for."""


def object_scores(scored: Scored) -> list[ObjectScore]:
    """Return the entries of all scored objects, in the order of their file."""
    report = scored.report
    terms = _object_terms(report)
    totals = report.by_object.total.tolist()
    ranks = {row: rank for rank, row in enumerate(sorted(range(len(totals)), key=lambda row: -totals[row]), start=1)}
    flags = _flags(scored)
    servings = report.assignment.by_object()
    predicted = _predicted(scored, servings)
    entries = [
        ObjectScore(
            index=index,
            pointer=label.pointer,
            class_name=label.class_name,
            box=corner_box(label.box_xyxy_px),
            total=totals[row],
            terms=terms[row],
            rank=ranks[row],
            assignments=[assignment_entry(serving, report) for serving in servings[row]],
            predicted=predicted[row],
            flags=flags[row],
        )
        for row, (index, label) in enumerate(scored.scored_objects)
    ]
    total = float(report.total)
    return [entry.model_copy(update={"why": explain(entry, total)}) for entry in entries]


def corner_box(box_xyxy: Sequence[float]) -> CornerBox:
    """Return a box as an answer has it."""
    x1, y1, x2, y2 = box_xyxy
    return CornerBox(x1=x1, y1=y1, x2=x2, y2=y2)


def image_boxes(scored: Scored, boxes_xyxy_norm: Tensor) -> list[list[float]]:
    """Return boxes [n, 4] that are fractions of the network input, in pixels of the image."""
    spec = scored.predictions.spec
    size = boxes_xyxy_norm.new_tensor([spec.input_width, spec.input_height] * 2)
    inverted: list[list[float]] = scored.placement.invert((boxes_xyxy_norm * size).numpy()).tolist()
    return inverted


def _object_terms(report: LossReport) -> list[Terms]:
    names = [
        name for name in report.terms if any(name in {**head.by_match, **head.by_positive} for head in report.heads)
    ]
    raw = torch.stack([head.by_object(report.num_objects) for head in report.heads]).sum(0) / report.divisor
    weighted = {name: report.by_object.terms[name].tolist() for name in names}
    rows = {name: raw[TERMS.index(name)].tolist() for name in names}
    return [
        {name: TermValue(raw=rows[name][row], weighted=weighted[name][row]) for name in names}
        for row in range(report.num_objects)
    ]


def assignment_entry(serving: AssignedPredictor, report: LossReport) -> ObjectAssignment:
    """Return an assigned predictor as an answer has it."""
    return ObjectAssignment(
        stride=serving.stride[0],
        cell=list(serving.cell),
        anchor=serving.anchor,
        anchor_px=_anchor_px(report, serving.head, serving.anchor),
        role=ROLE_NAMES[serving.role],
        iou=serving.iou,
        anchor_iou=serving.anchor_iou,
    )


def _anchor_px(report: LossReport, head: int, anchor: int) -> list[float] | None:
    anchors = report.heads[head].geometry.anchors_px
    return list(anchors[anchor]) if anchors else None


def _predicted(scored: Scored, servings: Sequence[Sequence[AssignedPredictor]]) -> list[ObjectPrediction]:
    """Return the prediction of each object's surest responsible predictor; without any, the best overlap of all."""
    predictions, labels = scored.predictions, scored.label_boxes_norm.to(scored.predictions.boxes_xyxy_norm)
    rows = [_row(scored, serving, label) for serving, label in zip(servings, labels, strict=True)]
    boxes = predictions.boxes_xyxy_norm[rows]
    in_image = image_boxes(scored, boxes)
    scores, classes = predictions.class_scores[rows].max(1) if rows else (boxes.new_zeros(0), boxes.new_zeros(0).long())
    spec = predictions.spec
    entries = []
    for position, row in enumerate(rows):
        place = predictions.place(row)
        class_id = int(classes[position])
        entries.append(
            ObjectPrediction(
                box=corner_box(in_image[position]),
                score=float(scores[position]),
                objectness=float(predictions.objectness[row]),
                class_id=class_id,
                class_name=spec.class_names[class_id],
                iou=float(pairwise_iou(boxes[position : position + 1], labels[position : position + 1])),
                stride=spec.head_stride(place.head)[0],
                cell=list(place.cell),
                anchor=place.anchor,
                anchor_px=_anchor_px(scored.report, place.head, place.anchor),
            )
        )
    return entries


def _row(scored: Scored, servings: Sequence[AssignedPredictor], label: Tensor) -> int:
    if not servings:
        return int(pairwise_iou(label[None], scored.predictions.boxes_xyxy_norm)[0].argmax())
    responsible = [serving for serving in servings if serving.role == Role.RESPONSIBLE] or servings
    rows = [scored.predictions.row(Place(serving.head, serving.cell, serving.anchor)) for serving in responsible]
    return max(rows, key=lambda row: float(scored.predictions.objectness[row]))


def _flags(scored: Scored) -> list[list[str]]:
    spec = scored.predictions.spec
    labels, report = scored.labels, scored.report
    scale = scored.network_scale
    found: dict[int, list[str]] = {}
    for finding in lint(labels, network_scale=scale):
        found.setdefault(finding.index, []).append(finding.kind)
    shared = _sharing_objects(report)
    misfits = _anchor_misfits(scored) if spec.anchors_px else set()
    flags = []
    for row, (index, label) in enumerate(scored.scored_objects):
        fate = MatchStatus(int(report.statuses[row]))
        conditions = {
            "difficult": label.difficult,
            "lost": fate == MatchStatus.LOST,
            "collided": fate == MatchStatus.COLLIDED,
            "shared": row in shared,
            "anchor_misfit": row in misfits,
        }
        flags.append(found.get(index, []) + [name for name, holds in conditions.items() if holds])
    return flags


def _sharing_objects(report: LossReport) -> set[int]:
    return {
        row
        for head in report.heads
        for row in head.matches.objects[head.positives.counts[head.positives.of_match] > 1].tolist()
    }


def _anchor_misfits(scored: Scored) -> set[int]:
    spec = scored.predictions.spec
    size = torch.tensor([spec.input_width, spec.input_height])
    boxes = scored.label_boxes_norm
    shapes = (boxes[:, 2:] - boxes[:, :2]) * size
    overlap = shape_overlap(shapes, shapes.new_tensor(spec.anchors_px))
    return set((overlap.amax(1) < ANCHOR_MISFIT_IOU).nonzero()[:, 0].tolist())


_QUIET: Final = (Role.BACKGROUND, Role.PRIOR)


def score_answer(run: ScoreRun) -> ScoreAnswer:
    """Return the answer document of a run, as detailed as its reports are."""
    first = run.results[0].report
    return ScoreAnswer(
        model=run.model,
        version=run.runtime.version,
        preset=first.preset,
        preset_version=first.version,
        normalizer=first.normalizer,
        results=[image_score(scored) for scored in run.results],
        timing_ms=run.timing.milliseconds(),
    )


def image_score(scored: Scored) -> ImageScore:
    """Return the account of one image."""
    report, labels = scored.report, scored.labels
    answer = ImageScore(
        image=ImageSize(width=labels.image_width, height=labels.image_height),
        labels_format=labels.label_format,
        objects=report.num_objects,
        total=float(report.total),
        terms={name: _term_value(term) for name, term in report.terms.items()},
        box_parts={name: _term_value(part) for name, part in report.box_parts.items()},
        by_scale=[_scale(scored, head) for head in range(len(report.heads))],
    )
    if scored.detail == "summary":
        return answer
    return answer.model_copy(
        update={
            "by_object": object_scores(scored),
            "background": _background(report),
            "unexplained": _unexplained(scored),
            "not_scored": list(_not_scored(scored)),
        }
    )


def _term_value(term: Term) -> TermValue:
    return TermValue(raw=float(term.raw), weighted=float(term.weighted))


def _term_values(names: Iterable[str], raw: Mapping[str, float], weighted: Mapping[str, float]) -> Terms:
    return {name: TermValue(raw=raw[name], weighted=weighted[name]) for name in names}


def _scale(scored: Scored, head: int) -> ScaleScore:
    report = scored.report
    geometry = report.heads[head].geometry
    raw = dict(zip(TERMS, (report.costs_by_head_term_image[head].sum(1) / report.divisor).tolist(), strict=True))
    weighted = {name: float(value[head]) for name, value in report.by_scale.terms.items()}
    scale = ScaleScore(
        stride=geometry.net_width / geometry.grid_width,
        grid=[geometry.grid_width, geometry.grid_height],
        total=float(report.by_scale.total[head]),
        terms=_term_values(report.terms, raw, weighted),
    )
    if scored.detail == "summary":
        return scale
    roles = report.assignment.roles[head][0]
    counts = torch.bincount(roles.flatten(), minlength=len(Role)).tolist()
    scale.roles = {name: counts[role] for role, name in ROLE_NAMES.items() if counts[role]}
    if scored.detail == "cells":
        scale.cells = {name: report.by_cell(name)[head][0].sum(0).tolist() for name in report.terms}
        scale.predictors = _predictors(report, head, scale.stride)
    return scale


def _predictors(report: LossReport, head: int, stride: float) -> list[PredictorEntry]:
    roles = report.assignment.roles[head][0]
    loud = ~torch.isin(roles, torch.tensor([int(role) for role in _QUIET], dtype=roles.dtype))
    places = zip(loud.nonzero().tolist(), roles[loud].tolist(), strict=True)
    return [
        PredictorEntry(
            stride=stride,
            cell=[column, row],
            anchor=anchor,
            anchor_px=_anchor_px(report, head, anchor),
            role=ROLE_NAMES[Role(role)],
        )
        for (anchor, row, column), role in places
    ]


def _background(report: LossReport) -> Background:
    """Return what predictors without object cost."""
    names = [name for name in report.terms if any(name in head.by_predictor for head in report.heads)]
    sums = torch.stack([head.background()[:, 0] for head in report.heads]).sum(0) / report.divisor
    weighted = {name: float(value[0]) for name, value in report.by_object.background_terms.items()}
    return Background(
        total=float(report.by_object.background[0]),
        terms=_term_values(names, dict(zip(TERMS, sums.tolist(), strict=True)), weighted),
    )


def _unexplained(scored: Scored) -> list[UnexplainedPrediction]:
    predictions, spec = scored.predictions, scored.predictions.spec
    found = find_unexplained(predictions, scored.label_boxes_norm, scored.crowd_boxes_norm, spec.nms)
    boxes = image_boxes(scored, predictions.boxes_xyxy_norm[[item.row for item in found]])
    costs = scored.report.by_cell("no_objectness")
    entries = []
    for item, box in zip(found, boxes, strict=True):
        place = predictions.place(item.row)
        column, row = place.cell
        head = scored.report.heads[place.head]
        entries.append(
            UnexplainedPrediction(
                box=corner_box(box),
                class_id=item.class_id,
                class_name=spec.class_names[item.class_id],
                score=item.score,
                cost=float(costs[place.head][0, place.anchor, row, column]),
                stride=head.geometry.net_width / head.geometry.grid_width,
                cell=[column, row],
                anchor=place.anchor,
                anchor_px=_anchor_px(scored.report, place.head, place.anchor),
                role=ROLE_NAMES[Role(int(scored.report.assignment.roles[place.head][0, place.anchor, row, column]))],
                serves=_served(scored, place),
            )
        )
    return entries


def _served(scored: Scored, place: Place) -> list[int]:
    matches = scored.report.heads[place.head].matches
    here = (matches.columns == place.cell[0]) & (matches.rows == place.cell[1]) & (matches.anchors == place.anchor)
    return [scored.scored_objects[row][0] for row in matches.objects[here].tolist()]


def _not_scored(scored: Scored) -> Iterable[UnscoredObject]:
    for index, label in enumerate(scored.labels.objects):
        if label.crowd:
            x1, y1, x2, y2 = label.box_xyxy_px
            yield UnscoredObject(
                index=index,
                pointer=label.pointer,
                class_name=label.class_name,
                box=CornerBox(x1=x1, y1=y1, x2=x2, y2=y2),
                flags=["crowd"],
            )

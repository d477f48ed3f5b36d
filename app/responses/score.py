"""Answer of scoring: a loss report by scale and object, each with its predictors, its prediction and its cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import torch
from torch import Tensor

from yoloscope.app.responses.explanations import explain
from yoloscope.app.responses.terms import (
    ROLE_NAMES,
    anchor_px,
    assignment_entry,
    background_terms,
    count_roles,
    object_terms,
    scale_terms,
    term_values,
)
from yoloscope.app.schemas.detect import CornerBox, ImageSize
from yoloscope.app.schemas.score import (
    Background,
    ImageScore,
    ObjectPrediction,
    ObjectScore,
    ScaleScore,
    ScoreAnswer,
    TermValue,
    UnexplainedPrediction,
    UnscoredObject,
)
from yoloscope.app.schemas.score import Predictor as PredictorEntry
from yoloscope.app.services.image_scores import Scored, one_torch_thread
from yoloscope.app.services.scoring import ScoreRun
from yoloscope.models.boxes import pairwise_iou
from yoloscope.training.assignment.assign import shape_overlap
from yoloscope.training.assignment.grid import MatchStatus, Role
from yoloscope.training.data.annotations import lint
from yoloscope.training.diagnostics.predictions import PredictorPosition
from yoloscope.training.diagnostics.unexplained import find_unexplained
from yoloscope.training.losses.report import AssignedPredictor, LossReport

ANCHOR_MISFIT_IOU = 0.25
"""Below this overlap with every anchor, the shape of an object is one that the anchors do not provide for."""


def object_scores(scored: Scored) -> list[ObjectScore]:
    """Return the entries of all scored objects, in the order of their file."""
    report = scored.report
    names = [n for n in report.terms if any(n in {**head.by_match, **head.by_positive} for head in report.heads)]
    terms = object_terms(report, names)
    totals = report.by_object.total.tolist()
    ranks = {row: rank for rank, row in enumerate(sorted(range(len(totals)), key=lambda row: -totals[row]), start=1)}
    flags = _flags(scored)
    assigned = report.assignment.by_object()
    predicted = _predicted(scored, assigned)
    parts = {name: (part.raw.tolist(), part.weighted.tolist()) for name, part in report.box_parts_by_object.items()}
    entries = [
        ObjectScore(
            index=index,
            pointer=label.pointer,
            class_name=label.class_name,
            box=corner_box(label.box_xyxy_px),
            total=totals[row],
            terms=terms[row],
            box_parts={
                name: TermValue(raw=raw[row], weighted=weighted[row]) for name, (raw, weighted) in parts.items()
            },
            rank=ranks[row],
            assignments=[assignment_entry(predictor, report) for predictor in assigned[row]],
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


def _predicted(scored: Scored, assigned: Sequence[Sequence[AssignedPredictor]]) -> list[ObjectPrediction]:
    """Return the prediction of each object's surest responsible predictor; without any, the best overlap of all."""
    predictions, labels = scored.predictions, scored.label_boxes_norm.to(scored.predictions.boxes_xyxy_norm)
    rows = [_row(scored, own, label) for own, label in zip(assigned, labels, strict=True)]
    boxes = predictions.boxes_xyxy_norm[rows]
    in_image = image_boxes(scored, boxes)
    scores, classes = predictions.class_scores[rows].max(1) if rows else (boxes.new_zeros(0), boxes.new_zeros(0).long())
    spec = predictions.spec
    entries = []
    for index, row in enumerate(rows):
        position = predictions.position(row)
        class_id = int(classes[index])
        entries.append(
            ObjectPrediction(
                box=corner_box(in_image[index]),
                score=float(scores[index]),
                objectness=float(predictions.objectness[row]),
                class_id=class_id,
                class_name=spec.class_names[class_id],
                iou=float(pairwise_iou(boxes[index : index + 1], labels[index : index + 1])),
                stride=spec.head_stride(position.head)[0],
                cell=list(position.cell),
                anchor=position.anchor,
                anchor_px=anchor_px(scored.report, position.head, position.anchor),
            )
        )
    return entries


def _row(scored: Scored, assigned: Sequence[AssignedPredictor], label: Tensor) -> int:
    if not assigned:
        return int(pairwise_iou(label[None], scored.predictions.boxes_xyxy_norm)[0].argmax())
    responsible = [predictor for predictor in assigned if predictor.role == Role.RESPONSIBLE] or assigned
    rows = [scored.predictions.row(PredictorPosition(p.head, p.cell, p.anchor)) for p in responsible]
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
        status = MatchStatus(int(report.statuses[row]))
        conditions = {
            "difficult": label.difficult,
            "lost": status == MatchStatus.LOST,
            "collided": status == MatchStatus.COLLIDED,
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


_BACKGROUND_ROLES: Final = (Role.BACKGROUND, Role.PRIOR)


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
    """Return the entry of one image."""
    with one_torch_thread():
        return _image_score(scored)


def _image_score(scored: Scored) -> ImageScore:
    report, labels = scored.report, scored.labels
    answer = ImageScore(
        image=ImageSize(width=labels.image_width, height=labels.image_height),
        image_id=scored.image_id,
        labels_format=labels.label_format,
        objects=report.num_objects,
        total=float(report.total),
        terms=term_values(report.terms),
        box_parts=term_values(report.box_parts),
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


def _scale(scored: Scored, head: int) -> ScaleScore:
    report = scored.report
    geometry = report.heads[head].geometry
    scale = ScaleScore(
        stride=geometry.net_width / geometry.grid_width,
        grid=[geometry.grid_width, geometry.grid_height],
        total=float(report.by_scale.total[head]),
        terms=scale_terms(report)[head],
    )
    if scored.detail == "summary":
        return scale
    roles = report.assignment.roles[head][0]
    scale.roles = count_roles(roles)
    if scored.detail == "cells":
        scale.cells = {name: report.by_cell(name)[head][0].sum(0).tolist() for name in report.terms}
        scale.predictors = _predictors(report, head, scale.stride)
    return scale


def _predictors(report: LossReport, head: int, stride: float) -> list[PredictorEntry]:
    roles = report.assignment.roles[head][0]
    notable = ~torch.isin(roles, torch.tensor([int(role) for role in _BACKGROUND_ROLES], dtype=roles.dtype))
    places = zip(notable.nonzero().tolist(), roles[notable].tolist(), strict=True)
    return [
        PredictorEntry(
            stride=stride,
            cell=[column, row],
            anchor=anchor,
            anchor_px=anchor_px(report, head, anchor),
            role=ROLE_NAMES[Role(role)],
        )
        for (anchor, row, column), role in places
    ]


def _background(report: LossReport) -> Background:
    """Return what predictors without object cost."""
    names = [name for name in report.terms if any(name in head.by_predictor for head in report.heads)]
    return Background(total=float(report.by_object.background[0]), terms=background_terms(report, names)[0])


def _unexplained(scored: Scored) -> list[UnexplainedPrediction]:
    predictions, spec = scored.predictions, scored.predictions.spec
    found = find_unexplained(predictions, scored.label_boxes_norm, scored.crowd_boxes_norm, spec.nms)
    boxes = image_boxes(scored, predictions.boxes_xyxy_norm[[item.row for item in found]])
    costs = scored.report.by_cell("no_objectness")
    entries = []
    for item, box in zip(found, boxes, strict=True):
        position = predictions.position(item.row)
        column, row = position.cell
        head = scored.report.heads[position.head]
        role = Role(int(scored.report.assignment.roles[position.head][0, position.anchor, row, column]))
        entries.append(
            UnexplainedPrediction(
                box=corner_box(box),
                class_id=item.class_id,
                class_name=spec.class_names[item.class_id],
                score=item.score,
                cost=float(costs[position.head][0, position.anchor, row, column]),
                stride=head.geometry.net_width / head.geometry.grid_width,
                cell=[column, row],
                anchor=position.anchor,
                anchor_px=anchor_px(scored.report, position.head, position.anchor),
                role=ROLE_NAMES[role],
                serves=_assigned_objects(scored, position),
            )
        )
    return entries


def _assigned_objects(scored: Scored, position: PredictorPosition) -> list[int]:
    matches = scored.report.heads[position.head].matches
    column, row = position.cell
    here = (matches.columns == column) & (matches.rows == row) & (matches.anchors == position.anchor)
    return [scored.scored_objects[index][0] for index in matches.objects[here].tolist()]


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

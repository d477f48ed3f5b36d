"""The objects of a loss report: where each was assigned, what the model predicted there, what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from app.schemas.detect import CornerBox
from app.schemas.score import ObjectAssignment, ObjectPrediction, ObjectScore, PredictorRole, Terms, TermValue
from app.services.scoring import Scored
from models.boxes import pairwise_iou
from training.assignment.roles import Fate, Role
from training.assignment.shape_overlap import shape_overlap
from training.data.annotations import lint
from training.diagnostics.predictions import Place
from training.losses.ledger import TERMS
from training.losses.report import LossReport
from training.losses.service import Serving

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
    servings = [report.assignment.serving(row) for row in range(len(totals))]
    predicted = _predicted(scored, servings)
    return [
        ObjectScore(
            index=index,
            pointer=label.pointer,
            class_name=label.class_name,
            box=corner_box(label.box_xyxy_px),
            total=totals[row],
            terms=terms[row],
            rank=ranks[row],
            assignments=[_assignment(serving) for serving in servings[row]],
            predicted=predicted[row],
            flags=flags[row],
        )
        for row, (index, label) in enumerate(scored.scored_objects)
    ]


def corner_box(box_xyxy: Sequence[float]) -> CornerBox:
    """Return a box as an answer has it."""
    x1, y1, x2, y2 = box_xyxy
    return CornerBox(x1=x1, y1=y1, x2=x2, y2=y2)


def picture_boxes(scored: Scored, boxes_xyxy_norm: Tensor) -> list[list[float]]:
    """Return boxes [n, 4] that are fractions of the network input, in pixels of the picture."""
    spec = scored.predictions.spec
    size = boxes_xyxy_norm.new_tensor([spec.input_width, spec.input_height] * 2)
    inverted: list[list[float]] = scored.placement.invert((boxes_xyxy_norm * size).numpy()).tolist()
    return inverted


def _object_terms(report: LossReport) -> list[Terms]:
    names = [name for name in report.terms if any(name in {**book.by_match, **book.by_slot} for book in report.ledgers)]
    raw = torch.stack([ledger.by_object(report.num_objects) for ledger in report.ledgers]).sum(0) / report.divisor
    weighted = {name: report.by_object.terms[name].tolist() for name in names}
    rows = {name: raw[TERMS.index(name)].tolist() for name in names}
    return [
        {name: TermValue(raw=rows[name][row], weighted=weighted[name][row]) for name in names}
        for row in range(report.num_objects)
    ]


def _assignment(serving: Serving) -> ObjectAssignment:
    return ObjectAssignment(
        stride=serving.stride[0],
        cell=list(serving.cell),
        anchor=serving.anchor,
        role=ROLE_NAMES[serving.role],
        iou=serving.iou,
        anchor_iou=serving.anchor_iou,
    )


def _predicted(scored: Scored, servings: Sequence[Sequence[Serving]]) -> list[ObjectPrediction]:
    """Return the prediction of each object's surest responsible predictor; without any, the best overlap of all."""
    predictions, labels = scored.predictions, scored.label_boxes_norm.to(scored.predictions.boxes_xyxy_norm)
    rows = [_row(scored, serving, label) for serving, label in zip(servings, labels, strict=True)]
    boxes = predictions.boxes_xyxy_norm[rows]
    in_picture = picture_boxes(scored, boxes)
    scores, classes = predictions.class_scores[rows].max(1) if rows else (boxes.new_zeros(0), boxes.new_zeros(0).long())
    spec = predictions.spec
    entries = []
    for position, row in enumerate(rows):
        place = predictions.place(row)
        class_id = int(classes[position])
        entries.append(
            ObjectPrediction(
                box=corner_box(in_picture[position]),
                score=float(scores[position]),
                objectness=float(predictions.objectness[row]),
                class_id=class_id,
                class_name=spec.class_names[class_id],
                iou=float(pairwise_iou(boxes[position : position + 1], labels[position : position + 1])),
                stride=spec.head_stride(place.head)[0],
                cell=list(place.cell),
                anchor=place.anchor,
            )
        )
    return entries


def _row(scored: Scored, servings: Sequence[Serving], label: Tensor) -> int:
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
        fate = Fate(int(report.fates[row]))
        conditions = {
            "difficult": label.difficult,
            "lost": fate == Fate.LOST,
            "collided": fate == Fate.COLLIDED,
            "shared": row in shared,
            "anchor_misfit": row in misfits,
        }
        flags.append(found.get(index, []) + [name for name, holds in conditions.items() if holds])
    return flags


def _sharing_objects(report: LossReport) -> set[int]:
    return {
        row
        for ledger in report.ledgers
        for row in ledger.matches.objects[ledger.slots.counts[ledger.slots.of_match] > 1].tolist()
    }


def _anchor_misfits(scored: Scored) -> set[int]:
    spec = scored.predictions.spec
    size = torch.tensor([spec.input_width, spec.input_height])
    boxes = scored.label_boxes_norm
    shapes = (boxes[:, 2:] - boxes[:, :2]) * size
    overlap = shape_overlap(shapes, shapes.new_tensor(spec.anchors_px))
    return set((overlap.amax(1) < ANCHOR_MISFIT_IOU).nonzero()[:, 0].tolist())

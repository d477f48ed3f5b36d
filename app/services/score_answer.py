"""A loss report as the entries of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import torch
from torch import Tensor

from app.schemas.detect import CornerBox, ImageSize
from app.schemas.score import (
    Background,
    ImageScore,
    ScaleScore,
    ScoreAnswer,
    Terms,
    TermValue,
    UnexplainedPrediction,
    UnscoredObject,
)
from app.schemas.score import Predictor as PredictorEntry
from app.services.score_objects import ROLE_NAMES, corner_box, object_scores, picture_boxes
from app.services.scoring import Scored, ScoreRun
from training.assignment.roles import Role
from training.diagnostics.predictions import Place
from training.diagnostics.unexplained import find_unexplained
from training.losses.ledger import TERMS
from training.losses.report import LossReport, Term

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
        timing_ms=run.timing_ms,
    )


def image_score(scored: Scored) -> ImageScore:
    """Return the account of one picture."""
    report, labels = scored.report, scored.labels
    answer = ImageScore(
        image=ImageSize(width=labels.image_width, height=labels.image_height),
        labels_format=labels.label_format,
        objects=report.num_objects,
        total=float(report.total),
        terms={name: _term_value(term) for name, term in report.terms.items()},
        box_parts={name: _term_value(part) for name, part in report.box_parts.items()},
        by_scale=[_scale(scored, head) for head in range(len(report.ledgers))],
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
    geometry = report.ledgers[head].geometry
    raw = dict(zip(TERMS, (report.raw_cube[head].sum(1) / report.divisor).tolist(), strict=True))
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
        scale.predictors = _predictors(roles, scale.stride)
    return scale


def _predictors(roles: Tensor, stride: float) -> list[PredictorEntry]:
    loud = ~torch.isin(roles, torch.tensor([int(role) for role in _QUIET], dtype=roles.dtype))
    places = zip(loud.nonzero().tolist(), roles[loud].tolist(), strict=True)
    return [
        PredictorEntry(stride=stride, cell=[column, row], anchor=anchor, role=ROLE_NAMES[Role(role)])
        for (anchor, row, column), role in places
    ]


def _background(report: LossReport) -> Background:
    """Return what predictors without object cost."""
    names = [name for name in report.terms if any(name in ledger.by_predictor for ledger in report.ledgers)]
    sums = torch.stack([ledger.background()[:, 0] for ledger in report.ledgers]).sum(0) / report.divisor
    weighted = {name: float(value[0]) for name, value in report.by_object.background_terms.items()}
    return Background(
        total=float(report.by_object.background[0]),
        terms=_term_values(names, dict(zip(TERMS, sums.tolist(), strict=True)), weighted),
    )


def _unexplained(scored: Scored) -> list[UnexplainedPrediction]:
    predictions, spec = scored.predictions, scored.predictions.spec
    found = find_unexplained(predictions, scored.label_boxes_norm, scored.crowd_boxes_norm, spec.nms)
    boxes = picture_boxes(scored, predictions.boxes_xyxy_norm[[item.row for item in found]])
    costs = scored.report.by_cell("no_objectness")
    entries = []
    for item, box in zip(found, boxes, strict=True):
        place = predictions.place(item.row)
        column, row = place.cell
        ledger = scored.report.ledgers[place.head]
        entries.append(
            UnexplainedPrediction(
                box=corner_box(box),
                class_id=item.class_id,
                class_name=spec.class_names[item.class_id],
                score=item.score,
                cost=float(costs[place.head][0, place.anchor, row, column]),
                stride=ledger.geometry.net_width / ledger.geometry.grid_width,
                cell=[column, row],
                anchor=place.anchor,
                role=ROLE_NAMES[Role(int(scored.report.assignment.roles[place.head][0, place.anchor, row, column]))],
                serves=_served(scored, place),
            )
        )
    return entries


def _served(scored: Scored, place: Place) -> list[int]:
    matches = scored.report.ledgers[place.head].matches
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

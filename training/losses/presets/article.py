"""The three grid losses of document 001."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from yoloscope.models import boxes
from yoloscope.training.losses.presets.base import PresetModel

PROBABILITY_FLOOR = 1e-7


class ArticlePreset(PresetModel):
    """The presets ``article-mse``, ``article-masked`` and ``article-iou``: examples 1, 2 and 3 of document 001.

    The document's grid has one predictor per cell and takes entries as they come. Its boxes are taken over all cells in
    ``mse`` and ``masked``, where a cell without object should predict zeros, and over positives in ``iou``. Departures:
    means over an empty selection, which are NaN there, are 0 here; probabilities are held within 1e-7 of 0 and 1 for
    the logarithm; a cell's target classes are all 0 where it has no object. ``iou_threshold`` selects positives in
    ``iou``, where an object whose prediction overlaps less has no positive at all: keep this one for study.
    """

    engine: ClassVar[str] = "article"

    source: str = "document 001, examples 1 to 3"
    variant: Literal["mse", "masked", "iou"] = "mse"
    lambda_coord: float = 5.0
    lambda_obj: float = 1.0
    lambda_noobj: float = 0.5
    lambda_class: float = 1.0
    iou_threshold: float = 0.5


@dataclass(frozen=True)
class ArticleCells:
    """The document's ``pred`` and ``target`` [..., 5+C], cell by cell: x, y, w, h, confidence, classes."""

    predicted: Tensor
    target: Tensor


@dataclass(frozen=True)
class ArticleTerms:
    """Mean-normalized costs by cell [...], which sum to the document's four numbers; ``positive`` bool [...]."""

    box: Tensor
    objectness: Tensor
    no_objectness: Tensor
    classification: Tensor
    positive: Tensor


def article_terms(cells: ArticleCells, preset: ArticlePreset) -> ArticleTerms:
    """Return the parts of one variant, before the lambdas."""
    if preset.variant == "mse":
        return _mse_terms(cells)
    positive = _positives(cells, preset)
    return _masked_terms(cells, positive, positive if preset.variant == "iou" else torch.ones_like(positive))


def _mse_terms(cells: ArticleCells) -> ArticleTerms:
    error = (cells.predicted - cells.target).square()
    count = max(error[..., 0].numel(), 1)
    positive = cells.target[..., 4] > 0
    confidence = error[..., 4] / count
    return ArticleTerms(
        box=error[..., :4].sum(-1) / (4 * count),
        objectness=torch.where(positive, confidence, 0),
        no_objectness=torch.where(positive, 0, confidence),
        classification=error[..., 5:].mean(-1) / count,
        positive=positive,
    )


def _positives(cells: ArticleCells, preset: ArticlePreset) -> Tensor:
    if preset.variant == "masked":
        return cells.target[..., 4] > 0
    predicted = boxes.cxcywh_to_xyxy(cells.predicted[..., :4].detach())
    return boxes.paired_iou(predicted, boxes.cxcywh_to_xyxy(cells.target[..., :4])) > preset.iou_threshold


def _masked_terms(cells: ArticleCells, positive: Tensor, placed: Tensor) -> ArticleTerms:
    """Return the costs of examples 2 and 3; boxes are compared at the ``placed`` cells."""
    positives = positive.sum().clamp_min(1)
    negatives = (~positive).sum().clamp_min(1)
    smooth = functional.smooth_l1_loss(cells.predicted[..., :4], cells.target[..., :4], reduction="none").mean(-1)
    confidence = (cells.predicted[..., 4] - positive.to(cells.predicted)).square()
    probability = cells.predicted[..., 5:].clamp(PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    classes = functional.binary_cross_entropy(probability, cells.target[..., 5:], reduction="none").mean(-1)
    return ArticleTerms(
        box=torch.where(placed, smooth / placed.sum().clamp_min(1), 0),
        objectness=torch.where(positive, confidence / positives, 0),
        no_objectness=torch.where(positive, 0, confidence / negatives),
        classification=torch.where(positive, classes / positives, 0),
        positive=positive,
    )

"""Three YOLOv1 grid losses of an article: mean squared error, masked, and selected by IoU.

Source: "How can a YOLO loss function be implemented from scratch in PyTorch?", 2025, examples 1 to 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from yoloscope.models import boxes
from yoloscope.models.errors import PresetError
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import HeadAssignment, find_positives
from yoloscope.training.losses.costs import HeadCosts
from yoloscope.training.losses.preset import BatchCosts, LossInputs, LossPreset, Normalizer
from yoloscope.training.losses.presets.walkthrough import CellGrid, cell_grid

PROBABILITY_FLOOR = 1e-7


class ArticlePreset(LossPreset):
    """The presets ``article-mse``, ``article-masked`` and ``article-iou``: the article's examples 1, 2 and 3.

    The article's grid has one predictor per cell and takes entries as they come. Its boxes are taken over all cells in
    ``mse`` and ``masked``, where a cell without object should predict zeros, and over positives in ``iou``. Departures:
    means over an empty selection, which are NaN there, are 0 here; probabilities are held within 1e-7 of 0 and 1 for
    the logarithm; a cell's target classes are all 0 where it has no object. ``iou_threshold`` selects positives in
    ``iou``, where an object whose prediction overlaps less has no positive at all: keep this one for study.
    """

    source: str = "How can a YOLO loss function be implemented from scratch in PyTorch?, 2025, examples 1 to 3"
    variant: Literal["mse", "masked", "iou"] = "mse"
    lambda_coord: float = 5.0
    lambda_obj: float = 1.0
    lambda_noobj: float = 0.5
    lambda_class: float = 1.0
    iou_threshold: float = 0.5

    @property
    def normalized_by(self) -> Normalizer:
        """Divisor of the summed costs: they are means already."""
        return "none"

    @property
    def sums_over_images(self) -> bool:
        """Whether the costs of a batch are those of its images: they are means over all of its cells."""
        return False

    def lambdas(self) -> Mapping[str, float]:
        """Return the weights that are not 1, by term."""
        if self.variant == "mse":
            return {}
        return {
            "box": self.lambda_coord,
            "objectness": self.lambda_obj,
            "no_objectness": self.lambda_noobj,
            "classification": self.lambda_class,
        }

    def costs(self, inputs: LossInputs) -> BatchCosts:
        """Return the raw costs of a batch; raise PresetError unless every cell has one predictor."""
        for geometry in inputs.geometries:
            if geometry.num_anchors != 1:
                raise PresetError(f"preset {self.name!r} needs one predictor per cell, got {geometry.num_anchors}")
        pairs = zip(inputs.heads, inputs.geometries, strict=True)
        return BatchCosts.of_heads([_head_costs(cell_grid(h, g, inputs.truth), inputs.truth, self) for h, g in pairs])


@dataclass(frozen=True)
class ArticleCells:
    """The article's ``pred`` and ``target`` [..., 5+C], cell by cell: x, y, w, h, confidence, classes."""

    predicted: Tensor
    target: Tensor


@dataclass(frozen=True)
class ArticleTerms:
    """Mean-normalized costs by cell [...], which sum to the article's four numbers; ``positive`` bool [...]."""

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


def _head_costs(grid: CellGrid, truth: GroundTruth, preset: ArticlePreset) -> HeadCosts:
    predicted = torch.cat((grid.boxes[..., 0, :], grid.confidences, grid.classes), dim=-1)
    target = torch.cat((grid.target_boxes, grid.has_object[..., None], grid.target_classes), dim=-1)
    terms = article_terms(ArticleCells(predicted, target), preset)
    everywhere = {
        "box": terms.box,
        "objectness": terms.objectness,
        "no_objectness": terms.no_objectness,
        "classification": terms.classification,
    }
    at = grid.matches.images, grid.matches.rows, grid.matches.columns
    positive = terms.positive[at]
    matches = grid.matches.select(positive)
    positives = find_positives(matches)
    assigned = torch.zeros_like(terms.positive)
    assigned[matches.images, matches.rows, matches.columns] = True
    taken = torch.ones(len(truth), dtype=torch.bool, device=assigned.device)
    taken[grid.matches.objects[~positive]] = False
    first = matches.images[positives.first], matches.rows[positives.first], matches.columns[positives.first]
    assignment = HeadAssignment(
        positives=positives,
        candidates=(taken & truth.has_area).nonzero()[:, 0],
        ignored=torch.zeros(matches.geometry.shape, dtype=torch.bool, device=assigned.device),
    )
    return HeadCosts(
        assignment=assignment,
        by_match={},
        by_positive={name: costs[first] for name, costs in everywhere.items() if name != "no_objectness"},
        by_predictor={name: costs.masked_fill(assigned, 0)[:, None] for name, costs in everywhere.items()},
        parts={},
        iou=terms.box.new_zeros(len(matches)),
    )


ARTICLE_MSE = ArticlePreset(name="article-mse", variant="mse")
ARTICLE_MASKED = ArticlePreset(name="article-masked", variant="masked")
ARTICLE_IOU = ArticlePreset(name="article-iou", variant="iou")

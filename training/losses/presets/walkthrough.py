"""YOLOv1 loss of a walkthrough, part by part, on a grid of cells.

Source: Ardi, YOLOv1 Loss Function Walkthrough: Regression for All, 2026; its code is at
https://github.com/MuhammadArdiPutra/medium_articles (Regression For All - YOLOv1 Loss Function.ipynb).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import HeadAssignment, find_positives, match_first_per_cell
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches, cell_offsets
from yoloscope.training.losses.costs import HeadCosts
from yoloscope.training.losses.decode import compute_dtype
from yoloscope.training.losses.preset import BatchCosts, LossInputs, LossPreset

IOU_EPS = 1e-6
SQRT_EPS = 1e-6


class WalkthroughPreset(LossPreset):
    """The preset ``v1-walkthrough``: the arithmetic of the article's codeblocks 2 and 5a to 5f.

    Departures: gradients are finite where the article's are not (its root has an infinite slope at -1e-6), and the
    IoU that objectness aims at is a constant for the gradient. Objectness of the box that is not best in a cell with
    an object costs nothing, as in the article (the paper counts it as no-object). Sums over the batch are divided by
    its images, as everywhere in this project; the article's batch has one.
    """

    name: str = "v1-walkthrough"
    source: str = (
        "Ardi, YOLOv1 Loss Function Walkthrough: Regression for All, 2026, codeblocks 2 to 5f "
        "(https://github.com/MuhammadArdiPutra/medium_articles)"
    )
    lambda_coord: float = 5.0
    lambda_noobj: float = 0.5

    def lambdas(self) -> Mapping[str, float]:
        """Return the weights that are not 1, by term."""
        return {"xy": self.lambda_coord, "wh": self.lambda_coord, "no_objectness": self.lambda_noobj}

    def costs(self, inputs: LossInputs) -> BatchCosts:
        """Return the raw costs of a batch."""
        pairs = zip(inputs.heads, inputs.geometries, strict=True)
        return BatchCosts.of_heads([_head_costs(cell_grid(h, g, inputs.truth), inputs.truth) for h, g in pairs])


@dataclass(frozen=True)
class WalkthroughCells:
    """The article's tensors: predictions of n boxes in every cell, and the target of every cell.

    ``pred_boxes`` [B, S, S, n, 4], ``pred_confidences`` [B, S, S, n], ``pred_classes`` [B, S, S, C],
    ``target_boxes`` [B, S, S, 4], ``target_classes`` [B, S, S, C], ``has_object`` [B, S, S] as 0 or 1. The article
    takes boxes as they come: x, y in its cell, w, h in cells or any unit, and computes IoU in just that frame.
    """

    pred_boxes: Tensor
    pred_confidences: Tensor
    pred_classes: Tensor
    target_boxes: Tensor
    target_classes: Tensor
    has_object: Tensor


@dataclass(frozen=True)
class WalkthroughTerms:
    """Raw costs by cell, [B, S, S] each, no_objectness [B, S, S, n]; ``best`` int64 and ``iou`` of the best box."""

    xy: Tensor
    wh: Tensor
    objectness: Tensor
    no_objectness: Tensor
    classification: Tensor
    best: Tensor
    iou: Tensor


def walkthrough_iou(a_cxcywh: Tensor, b_cxcywh: Tensor) -> Tensor:
    """Return the article's IoU (codeblock 2), with 1e-6 added to the union."""
    a_low, a_high = a_cxcywh[..., :2] - a_cxcywh[..., 2:] / 2, a_cxcywh[..., :2] + a_cxcywh[..., 2:] / 2
    b_low, b_high = b_cxcywh[..., :2] - b_cxcywh[..., 2:] / 2, b_cxcywh[..., :2] + b_cxcywh[..., 2:] / 2
    shared = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp_min(0).prod(-1)
    areas = (a_high - a_low).prod(-1).abs() + (b_high - b_low).prod(-1).abs()
    return shared / (areas - shared + IOU_EPS)


def walkthrough_root(x: Tensor) -> Tensor:
    """Return sign(x) * sqrt(|x| + 1e-6) (codeblock 5b, line 10), whose slope at 0 is taken as 0."""
    return torch.sign(x) * (x.abs() + SQRT_EPS).sqrt()


def walkthrough_terms(cells: WalkthroughCells) -> WalkthroughTerms:
    """Return the five parts, cell by cell (codeblocks 5b to 5e); box_loss there is xy + wh here."""
    obj = cells.has_object
    with torch.no_grad():
        overlaps = walkthrough_iou(cells.pred_boxes, cells.target_boxes[..., None, :])
        iou, best = overlaps.max(dim=-1)
    chosen = best[..., None, None].expand(*best.shape, 1, 4)
    box = obj[..., None] * cells.pred_boxes.gather(-2, chosen)[..., 0, :]
    confidence = cells.pred_confidences.gather(-1, best[..., None])[..., 0]
    target = obj[..., None] * cells.target_boxes
    root = walkthrough_root(box[..., 2:]) - target[..., 2:].sqrt()
    return WalkthroughTerms(
        xy=(box[..., :2] - target[..., :2]).square().sum(-1),
        wh=root.square().sum(-1),
        objectness=(obj * confidence - obj * iou).square(),
        no_objectness=((1 - obj)[..., None] * cells.pred_confidences).square(),
        classification=(obj[..., None] * (cells.pred_classes - cells.target_classes)).square().sum(-1),
        best=best,
        iou=iou,
    )


@dataclass(frozen=True)
class CellGrid:
    """Raw predictions and targets of a flat YOLOv1 head; boxes in cells: offset in the cell, then width, height."""

    boxes: Tensor
    confidences: Tensor
    classes: Tensor
    target_boxes: Tensor
    target_classes: Tensor
    has_object: Tensor
    matches: HeadMatches


def cell_grid(head: Tensor, geometry: HeadGeometry, truth: GroundTruth) -> CellGrid:
    """Return predictions and targets of a flat YOLOv1 head, cell by cell; the first object of a cell counts."""
    layout = geometry.spec.detection_layout(geometry.num_classes)
    batch, n, height, width = geometry.shape
    head = head.to(compute_dtype(head))
    matches = match_first_per_cell(truth, geometry)
    at = matches.images, matches.rows, matches.columns
    own = truth.boxes_cxcywh_norm[matches.objects]
    offsets = cell_offsets(own, matches.columns, matches.rows, geometry)
    boxes = torch.cat((offsets, own[:, 2:] * own.new_tensor((width, height))), dim=-1).to(head)
    classes = functional.one_hot(truth.class_ids[matches.objects], geometry.num_classes).to(head)
    shape = (batch, height, width)
    return CellGrid(
        boxes=head[:, layout.boxes].view(*shape, n, 4),
        confidences=head[:, layout.confidences].view(*shape, n),
        classes=head[:, layout.classes].view(*shape, geometry.num_classes),
        target_boxes=head.new_zeros(*shape, 4).index_put(at, boxes),
        target_classes=head.new_zeros(*shape, geometry.num_classes).index_put(at, classes),
        has_object=head.new_zeros(shape).index_put(at, head.new_ones(len(matches))),
        matches=matches,
    )


def _head_costs(grid: CellGrid, truth: GroundTruth) -> HeadCosts:
    terms = walkthrough_terms(
        WalkthroughCells(
            grid.boxes, grid.confidences, grid.classes, grid.target_boxes, grid.target_classes, grid.has_object
        )
    )
    matches = grid.matches
    at = matches.images, matches.rows, matches.columns
    matches = replace(matches, anchors=terms.best[at])
    positives = find_positives(matches)
    first = tuple(index[positives.first] for index in at)
    by_match = {"xy": terms.xy[at], "wh": terms.wh[at]}
    ignored = torch.zeros(matches.geometry.shape, dtype=torch.bool, device=terms.iou.device)
    return HeadCosts(
        assignment=HeadAssignment(positives, truth.has_area.nonzero()[:, 0], ignored),
        by_match=by_match,
        by_positive={"objectness": terms.objectness[first], "classification": terms.classification[first]},
        by_predictor={"no_objectness": terms.no_objectness.permute(0, 3, 1, 2)},
        parts={"centre": by_match["xy"], "size": by_match["wh"]},
        iou=terms.iou[at],
    )


V1_WALKTHROUGH = WalkthroughPreset(name="v1-walkthrough")

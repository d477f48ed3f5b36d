"""The YOLOv1 loss of document 003, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from yoloscope.training.losses.presets.base import PresetModel

IOU_EPS = 1e-6
SQRT_EPS = 1e-6


class WalkthroughPreset(PresetModel):
    """The preset ``v1-walkthrough``: the arithmetic of document 003, codeblocks 2 and 5a to 5f.

    Departures: gradients are finite where the document's are not (its root has an infinite slope at -1e-6), and the
    IoU that objectness aims at is a constant for the gradient. Objectness of the box that is not best in a cell with
    an object costs nothing, as in the document (the paper counts it as no-object). Sums over the batch are divided by
    its images, as everywhere in this project; the document's batch has one.
    """

    engine: ClassVar[str] = "walkthrough"

    name: str = "v1-walkthrough"
    source: str = "document 003, codeblocks 2 to 5f"
    lambda_coord: float = 5.0
    lambda_noobj: float = 0.5


@dataclass(frozen=True)
class WalkthroughCells:
    """The document's tensors: predictions of n boxes in every cell, and the target of every cell.

    ``pred_boxes`` [B, S, S, n, 4], ``pred_confidences`` [B, S, S, n], ``pred_classes`` [B, S, S, C],
    ``target_boxes`` [B, S, S, 4], ``target_classes`` [B, S, S, C], ``has_object`` [B, S, S] as 0 or 1. The document
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
    """Return the document's IoU (codeblock 2), with 1e-6 added to the union."""
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

"""Overlap of box shapes that share a centre."""

from __future__ import annotations

import torch
from torch import Tensor

from models import boxes

SHAPE_MEASURES = {
    "iou": boxes.pairwise_iou,
    "giou": boxes.pairwise_giou,
    "diou": boxes.pairwise_diou,
    "ciou": boxes.pairwise_ciou,
}


def shape_overlap(wh_a: Tensor, wh_b: Tensor, measure: str = "iou") -> Tensor:
    """Return the overlap [N, M] of shapes [N, 2] and [M, 2] of one unit, all centred on one point.

    ``measure`` names a box measure of ``models.boxes``; plain IoU is what matching uses unless a darknet cfg's
    ``iou_thresh_kind`` says otherwise.
    """
    if measure == "iou":
        shared = torch.minimum(wh_a[:, None], wh_b[None]).clamp_min(0).prod(-1)
        union = wh_a.clamp_min(0).prod(-1)[:, None] + wh_b.clamp_min(0).prod(-1)[None] - shared
        return shared / union.clamp_min(boxes.FLOOR)
    return SHAPE_MEASURES[measure](_centred(wh_a), _centred(wh_b))


def _centred(wh: Tensor) -> Tensor:
    return torch.cat((-wh / 2, wh / 2), dim=-1)

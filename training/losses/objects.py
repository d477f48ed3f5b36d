"""Facts about the objects of a flat ground truth."""

from __future__ import annotations

import torch
from torch import Tensor

from models.structures import GroundTruth


def first_objects(truth: GroundTruth) -> Tensor:
    """Return the row int64 [B] at which each picture's objects begin."""
    counts = torch.bincount(truth.image_index, minlength=truth.batch_size)
    return counts.cumsum(0) - counts


def objects_with_area(truth: GroundTruth) -> Tensor:
    """Return the rows int64 of the objects whose width and height are above 0."""
    return (truth.boxes_cxcywh_norm[:, 2:] > 0).all(-1).nonzero()[:, 0]

"""Where the objects of each picture begin in a flat ground truth."""

from __future__ import annotations

import torch
from torch import Tensor

from models.structures import GroundTruth


def first_objects(truth: GroundTruth) -> Tensor:
    """Return the row int64 [B] at which each picture's objects begin."""
    counts = torch.bincount(truth.image_index, minlength=truth.batch_size)
    return counts.cumsum(0) - counts

"""The early pull of YOLOv2: every predictor is drawn to its cell's centre and its anchor's size."""

from __future__ import annotations

import torch
from torch import Tensor

from training.assignment.matches import HeadMatches
from training.losses.heads import box_entries
from training.losses.preset import Preset


def prior_terms(head: Tensor, matches: HeadMatches, preset: Preset) -> Tensor:
    """Return the raw prior cost [B, A, h, w], 0 at predictors that serve an object; anchor-based heads only.

    Half the squared error of the cell offset from 1/2 and of the raw extents from 0, so that under ``exp`` decoding the
    gradient is darknet's (src/region_layer.c, delta_region_box with the anchor as truth).
    """
    entries = box_entries(head, matches.geometry)
    scale = matches.geometry.spec.scale_xy if preset.decode_xy == "scaled" else 1.0
    offset = torch.sigmoid(entries[:, :, :2]) * scale - (scale - 1) / 2
    costs = ((offset - 0.5).square().sum(2) + entries[:, :, 2:].square().sum(2)) / 2
    served = torch.zeros(matches.geometry.shape, dtype=torch.bool, device=head.device)
    served.view(-1)[matches.predictors] = True
    return costs.masked_fill(served, 0)

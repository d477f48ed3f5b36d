"""Grids, anchors and colliding pairs for the tests of assignment."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.training.losses.cases import spec_v2, spec_v4, truth_of
from yoloscope.training.assignment.assign import (
    match_best_anchor_per_head,
)
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches, head_geometries


def geometries_of(batch_size: int = 1) -> tuple[HeadGeometry, ...]:
    spec = spec_v4()
    return head_geometries([torch.zeros(spec.head_shape(i, batch_size)) for i in range(2)], spec)


def anchors() -> Tensor:
    return torch.tensor(spec_v4().anchors_px, dtype=torch.float64)


def pairs(matches: HeadMatches) -> list[tuple[int, int, bool]]:
    return list(zip(matches.objects.tolist(), matches.anchors.tolist(), matches.extra.tolist(), strict=True))


def colliding() -> HeadMatches:
    """Objects 0, 1 and 3 on one predictor, object 2 on another."""
    spec = spec_v2()
    truth = truth_of(
        [
            (0, 0, 0.1, 0.1, 0.2, 0.3),
            (0, 1, 0.12, 0.1, 0.2, 0.3),
            (0, 2, 0.9, 0.9, 0.2, 0.3),
            (0, 0, 0.11, 0.1, 0.2, 0.3),
        ],
        1,
    )
    (geometry,) = head_geometries([torch.zeros(spec.head_shape(0, 1))], spec)
    (matches,) = match_best_anchor_per_head(truth, (geometry,))
    return matches

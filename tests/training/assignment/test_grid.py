"""Grid cells and offsets."""

from __future__ import annotations

import pytest
import torch

from tests.training.assignment.scenes import colliding
from tests.training.losses.cases import spec_v1, spec_v4
from yoloscope.models.errors import SpecError
from yoloscope.training.assignment.grid import cell_offsets, head_geometries


def test_offsets_are_relative_to_the_cell() -> None:
    matches = colliding()
    truth = torch.tensor([[0.1, 0.1, 0.2, 0.3]], dtype=torch.float64)
    offset = cell_offsets(truth, matches.columns[:1], matches.rows[:1], matches.geometry)
    torch.testing.assert_close(offset, torch.tensor([[0.4, 0.3]], dtype=torch.float64))


def test_heads_of_another_size_or_shape_are_refused() -> None:
    spec = spec_v4()
    good = [torch.zeros(spec.head_shape(i, 1)) for i in range(2)]
    with pytest.raises(SpecError, match="expected 2 head tensors, got 1"):
        head_geometries(good[:1], spec)
    with pytest.raises(SpecError, match="one network size and batch"):
        head_geometries([good[0], torch.zeros(2, 24, 2, 3)], spec)
    with pytest.raises(SpecError, match=r"expected head 1 of shape \(1, 24, 2, 3\)"):
        head_geometries([good[0], torch.zeros(1, 25, 2, 3)], spec)
    flat = spec_v1()
    with pytest.raises(SpecError, match=r"expected head 0 of shape \(1, 117\), got \(1, 118\)"):
        head_geometries([torch.zeros(1, 118)], flat)

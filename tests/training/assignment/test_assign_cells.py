"""Matching of objects to the predictors of their cell: YOLOv1."""

from __future__ import annotations

import pytest
import torch

from tests.training.losses.cases import spec_v1, truth_of
from yoloscope.training.assignment.assign import choose_predictor, match_first_per_cell
from yoloscope.training.assignment.grid import head_geometries


def test_a_v1_cell_keeps_its_first_object_with_area() -> None:
    spec = spec_v1()
    (geometry,) = head_geometries([torch.zeros(spec.head_shape(0, 2))], spec)
    rows = [
        (0, 0, 0.5, 0.5, 0.0, 0.1),
        (0, 1, 0.5, 0.5, 0.2, 0.2),
        (0, 2, 0.55, 0.5, 0.3, 0.3),
        (1, 0, 0.5, 0.5, 0.1, 0.1),
    ]
    matches = match_first_per_cell(truth_of(rows, 2), geometry)
    assert matches.objects.tolist() == [1, 3]
    assert matches.images.tolist() == [0, 1]


def test_the_v1_predictor_with_the_highest_overlap_is_chosen() -> None:
    spec = spec_v1()
    (geometry,) = head_geometries([torch.zeros(spec.head_shape(0, 1))], spec)
    truth = truth_of([(0, 0, 0.5, 0.5, 0.4, 0.4)], 1)
    matches = match_first_per_cell(truth, geometry)
    candidates = torch.tensor([[[0.5, 0.5, 0.1, 0.1], [0.5, 0.5, 0.4, 0.2]]], dtype=torch.float64)
    chosen = choose_predictor(matches, candidates, truth.boxes_cxcywh_norm)
    assert chosen.anchors.tolist() == [1]
    assert chosen.anchor_iou.tolist() == pytest.approx([0.5])

"""Matching of objects to anchors by shape."""

from __future__ import annotations

import pytest
import torch

from tests.training.assignment.scenes import anchors, geometries_of, pairs
from tests.training.losses.cases import truth_of
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import (
    find_positives,
    match_best_anchor,
    match_best_anchor_per_head,
    match_by_ratio,
    shape_overlap,
)


def test_shape_overlap_by_hand() -> None:
    got = shape_overlap(torch.tensor([[2.0, 2.0]]), torch.tensor([[1.0, 2.0], [2.0, 2.0], [4.0, 4.0], [0.0, 1.0]]))
    torch.testing.assert_close(got, torch.tensor([[0.5, 1.0, 0.25, 0.0]]))
    giou = shape_overlap(torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 2.0]]), "giou")
    assert giou.item() == pytest.approx(1 / 3 - 1 / 4)
    assert shape_overlap(torch.zeros(0, 2), torch.zeros(3, 2)).shape == (0, 3)


def test_the_best_anchor_of_all_scales_is_matched() -> None:
    truth = truth_of([(0, 0, 0.3, 0.6, 41 / 96, 29 / 64), (0, 1, 0.9, 0.1, 70 / 96, 1.0)], 1)
    first, second = match_best_anchor(truth, geometries_of(), anchors(), None)
    assert pairs(first) == [(0, 2, False)]
    assert pairs(second) == [(1, 1, False)]
    assert (int(first.columns), int(first.rows)) == (1, 2)
    assert (int(second.columns), int(second.rows)) == (2, 0)
    assert first.anchor_iou.item() == pytest.approx(40 * 28 / (41 * 29))


def test_other_anchors_above_the_threshold_are_extras() -> None:
    truth = truth_of([(0, 0, 0.5, 0.5, 40 / 96, 28 / 64)], 1)
    first, second = match_best_anchor(truth, geometries_of(), anchors(), 0.213)
    overlap = shape_overlap(torch.tensor([[40.0, 28.0]], dtype=torch.float64), anchors())[0].tolist()
    wanted = [a for a, value in enumerate(overlap) if value > 0.213]
    assert [a for _, a, _ in pairs(first)] + [3 + a for _, a, _ in pairs(second)] == wanted
    assert [extra for _, a, extra in pairs(first) if a == 2] == [False]
    assert all(extra for _, _, extra in pairs(second))


def test_equal_anchors_go_to_the_first() -> None:
    doubled = torch.tensor([[40.0, 28.0], [40.0, 28.0], *[[1.0, 1.0]] * 4], dtype=torch.float64)
    truth = truth_of([(0, 0, 0.5, 0.5, 40 / 96, 28 / 64)], 1)
    first, second = match_best_anchor(truth, geometries_of(), doubled, None)
    assert pairs(first) == [(0, 0, False)]
    assert not len(second)


def test_an_anchor_of_no_head_leaves_its_object_unmatched() -> None:
    extended = torch.cat((anchors(), torch.tensor([[5.0, 5.0]], dtype=torch.float64)))
    truth = truth_of([(0, 0, 0.5, 0.5, 5 / 96, 5 / 64)], 1)
    assert [len(m) for m in match_best_anchor(truth, geometries_of(), extended, None)] == [0, 0]


def test_every_head_has_its_own_best_anchor_in_v2_matching() -> None:
    truth = truth_of([(0, 0, 0.5, 0.5, 76 / 96, 55 / 64)], 1)
    first, second = match_best_anchor_per_head(truth, geometries_of())
    assert pairs(first) == [(0, 2, False)]
    assert pairs(second) == [(0, 1, False)]


def test_matching_by_ratio() -> None:
    truth = truth_of([(0, 0, 0.5, 0.5, 24 / 96, 32 / 64)], 1)
    first, second = match_by_ratio(truth, geometries_of(), 2.1)
    assert [a for _, a, _ in pairs(first)] == [0, 1, 2]
    assert not any(a == 2 for _, a, _ in pairs(second))


@pytest.mark.parametrize("size", [(0.0, 0.0), (0.2, 0.0)])
def test_objects_without_area_match_nothing(size: tuple[float, float]) -> None:
    truth = truth_of([(0, 0, 0.5, 0.5, *size)], 1)
    assert not any(len(m) for m in match_best_anchor(truth, geometries_of(), anchors(), 0.1))
    assert not any(len(m) for m in match_best_anchor_per_head(truth, geometries_of()))
    assert not any(len(m) for m in match_by_ratio(truth, geometries_of(), 4.0))


def test_no_objects_match_nothing() -> None:
    empty = GroundTruth.empty(2)
    assert [len(m) for m in match_best_anchor(empty, geometries_of(2), anchors().float(), 0.2)] == [0, 0]
    positives = find_positives(match_best_anchor(empty, geometries_of(2), anchors().float(), None)[0])
    assert len(positives) == 0

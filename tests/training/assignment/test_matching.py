"""Matching by shape and by cell, collisions, and MaxIoU: by hand, empty, and against plain loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training.losses.cases import random_truth, spec_v1, spec_v2, spec_v4, truth_of
from yoloscope.models import boxes
from yoloscope.models.errors import SpecError
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.anchors import (
    match_best_anchor,
    match_best_anchor_per_head,
    match_by_ratio,
    shape_overlap,
)
from yoloscope.training.assignment.assign import CollisionRule, distinct_positives, find_positives, resolve_collisions
from yoloscope.training.assignment.cells import choose_predictor, match_first_per_cell
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches, cell_offsets, head_geometries
from yoloscope.training.assignment.ignore import exceeds_max_iou, max_iou, padded_boxes_xyxy


def geometries_of(batch_size: int = 1) -> tuple[HeadGeometry, ...]:
    spec = spec_v4()
    return head_geometries([torch.zeros(spec.head_shape(i, batch_size)) for i in range(2)], spec)


def anchors() -> Tensor:
    return torch.tensor(spec_v4().anchors_px, dtype=torch.float64)


def pairs(matches: HeadMatches) -> list[tuple[int, int, bool]]:
    return list(zip(matches.objects.tolist(), matches.anchors.tolist(), matches.extra.tolist(), strict=True))


def test_shape_overlap_by_hand() -> None:
    got = shape_overlap(torch.tensor([[2.0, 2.0]]), torch.tensor([[1.0, 2.0], [2.0, 2.0], [4.0, 4.0], [0.0, 1.0]]))
    torch.testing.assert_close(got, torch.tensor([[0.5, 1.0, 0.25, 0.0]]))
    giou = shape_overlap(torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 2.0]]), "giou")
    assert giou.item() == pytest.approx(1 / 3 - 1 / 4)
    assert shape_overlap(torch.zeros(0, 2), torch.zeros(3, 2)).shape == (0, 3)


def test_the_best_anchor_of_all_scales_serves() -> None:
    truth = truth_of([(0, 0, 0.3, 0.6, 41 / 96, 29 / 64), (0, 1, 0.9, 0.1, 70 / 96, 1.0)], 1)
    first, second = match_best_anchor(truth, geometries_of(), anchors(), None)
    assert pairs(first) == [(0, 2, False)]
    assert pairs(second) == [(1, 1, False)]
    assert (int(first.columns), int(first.rows)) == (1, 2)
    assert (int(second.columns), int(second.rows)) == (2, 0)
    assert first.anchor_iou.item() == pytest.approx(40 * 28 / (41 * 29))


def test_other_anchors_above_the_threshold_serve_as_extras() -> None:
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


def test_an_anchor_of_no_head_leaves_its_object_unserved() -> None:
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


@pytest.mark.parametrize(
    ("rule", "kept"),
    [("first", [0, 2]), ("last", [2, 3]), ("accumulate", [0, 1, 2, 3]), ("mean", [0, 1, 2, 3]), ("best_iou", [1, 2])],
)
def test_collisions(rule: CollisionRule, kept: list[int]) -> None:
    resolved = resolve_collisions(colliding(), rule, torch.tensor([0.1, 0.7, 0.0, 0.3]))
    assert resolved.objects.tolist() == kept


def test_positives_count_their_pairs() -> None:
    positives = find_positives(colliding())
    assert sorted(positives.counts.tolist()) == [1, 3]
    shares = torch.zeros(2, dtype=torch.float32).index_add_(0, positives.of_match, positives.share)
    torch.testing.assert_close(shares, torch.ones(2))
    alone = colliding().select(torch.tensor([0, 2]))
    assert distinct_positives(alone).predictors.tolist() == alone.predictors.tolist()


def test_offsets_are_relative_to_the_cell() -> None:
    matches = colliding()
    truth = torch.tensor([[0.1, 0.1, 0.2, 0.3]], dtype=torch.float64)
    offset = cell_offsets(truth, matches.columns[:1], matches.rows[:1], matches.geometry)
    torch.testing.assert_close(offset, torch.tensor([[0.4, 0.3]], dtype=torch.float64))


@pytest.mark.parametrize("seed", range(10))
def test_max_iou_against_all_pairs(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = random_truth(seed, 3, 5, 4)
    planes = [torch.rand(3, 2, 4, 5, generator=generator, dtype=torch.float64) for _ in range(4)]
    planes[2], planes[3] = planes[2] * 0.6, planes[3] * 0.6
    predicted = (planes[0], planes[1], planes[2], planes[3])
    best, place = max_iou(predicted, padded_boxes_xyxy(truth, torch.float64))
    everything = boxes.cxcywh_to_xyxy(torch.stack(planes, dim=-1).reshape(3, -1, 4))
    for image in range(3):
        own = truth.boxes_cxcywh_norm[truth.image_index == image]
        if not len(own):
            assert float(best[image].max()) == 0
            assert int(place[image].max()) == -1
            continue
        expected = boxes.pairwise_iou(everything[image], boxes.cxcywh_to_xyxy(own)).max(dim=1)
        torch.testing.assert_close(best[image].flatten(), expected.values)
        found = expected.values > 0
        assert torch.equal(place[image].flatten()[found], expected.indices[found])
    for threshold in (0.05, 0.3, 0.7):
        exceeds = exceeds_max_iou(predicted, padded_boxes_xyxy(truth, torch.float64), threshold)
        assert torch.equal(exceeds, best > threshold)


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

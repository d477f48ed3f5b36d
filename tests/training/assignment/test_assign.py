"""Collisions and positives, and the three steps of the assignment in one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training.assignment.scenes import colliding
from tests.training.losses.cases import spec_v2, truth_of
from yoloscope.training.assignment.assign import (
    AssignmentRules,
    CollisionRule,
    DecodedHead,
    assign,
    distinct_positives,
    find_positives,
    resolve_collisions,
)
from yoloscope.training.assignment.grid import HeadGeometry, head_geometries


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


def _predictions(geometry: HeadGeometry) -> DecodedHead:
    """Every predictor of a head of one predictor per cell predicts its own cell, exactly."""
    height, width = geometry.grid_height, geometry.grid_width
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    plane = torch.ones(geometry.shape, dtype=torch.float64)
    boxes_cxcywh = ((columns + 0.5) / width * plane, (rows + 0.5) / height * plane, plane / width, plane / height)

    def cell_boxes(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        at = (images, slice(None), rows, columns)
        return torch.stack([values[at] for values in boxes_cxcywh], dim=-1)

    return DecodedHead(geometry, boxes_cxcywh, cell_boxes, lambda predictors: torch.ones(len(predictors)))


def test_the_three_steps_of_an_assignment() -> None:
    """Two objects in one cell: the last one stays; the predictors of that cell overlap them and are ignored."""
    spec = spec_v2(width=2, height=2)
    (geometry,) = head_geometries([torch.zeros(spec.head_shape(0, 1))], spec)
    truth = truth_of([(0, 0, 0.25, 0.25, 0.5, 0.5), (0, 1, 0.25, 0.25, 0.5, 0.45)], 1)
    rules = AssignmentRules("best_anchor_per_head", 0.2, "last", ignore_threshold=0.6, ignore_class_gate=None)
    (head,) = assign([_predictions(geometry)], truth, spec.anchors_px, rules)
    assert head.candidates.tolist() == [0, 1]
    assert head.positives.matches.objects.tolist() == [1]
    expected = torch.zeros(geometry.shape, dtype=torch.bool)
    expected[0, :, 0, 0] = True
    assert torch.equal(head.ignored, expected)
    assert head.max_iou is None


def test_max_iou_is_kept_where_a_rule_asks_for_it() -> None:
    spec = spec_v2(width=2, height=2)
    (geometry,) = head_geometries([torch.zeros(spec.head_shape(0, 1))], spec)
    truth = truth_of([(0, 0, 0.25, 0.25, 0.5, 0.5)], 1)
    rules = AssignmentRules("best_anchor_per_head", 0.2, "last", 0.6, None, keep_max_iou=True)
    (head,) = assign([_predictions(geometry)], truth, spec.anchors_px, rules)
    assert head.max_iou is not None
    assert set(head.max_iou[0, :, 0, 0].tolist()) == {1.0}
    assert set(head.max_iou[0, :, 1, 1].tolist()) == {0.0}


def test_the_best_predicted_iou_wins_a_collision() -> None:
    """The cell's own box is 0.5 x 0.5: the first object is that box, the second one is smaller."""
    spec = spec_v2(width=2, height=2)
    (geometry,) = head_geometries([torch.zeros(spec.head_shape(0, 1))], spec)
    truth = truth_of([(0, 0, 0.25, 0.25, 0.5, 0.5), (0, 1, 0.25, 0.25, 0.5, 0.45)], 1)
    rules = AssignmentRules("best_anchor_per_head", 0.2, "best_iou", ignore_threshold=None, ignore_class_gate=None)
    (head,) = assign([_predictions(geometry)], truth, spec.anchors_px, rules)
    assert head.positives.matches.objects.tolist() == [0]
    assert not head.ignored.any()

"""MaxIoU and the ignore rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.training.losses.cases import random_truth, truth_of
from yoloscope.models import boxes
from yoloscope.training.assignment import ignore
from yoloscope.training.assignment.ignore import (
    Planes,
    PredictorsByCell,
    exceeds_max_iou,
    ignored_predictors,
    max_iou,
    padded_boxes_xyxy,
)


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


def test_only_predictors_above_the_threshold_are_ignored_and_the_gate_asks_only_about_those() -> None:
    over = torch.tensor([[[[True, False], [True, False]]]])
    asked: list[list[int]] = []

    def best_probability(predictors: Tensor) -> Tensor:
        asked.append(predictors.tolist())
        return torch.tensor([0.2, 0.3])

    assert ignored_predictors(over, None, best_probability) is over
    gated = ignored_predictors(over, 0.25, best_probability)
    assert gated.tolist() == [[[[False, False], [True, False]]]]
    assert asked == [[0, 2]]


def test_the_threshold_itself_does_not_ignore() -> None:
    """A prediction that is half of its object: IoU 1/2 is not above 1/2."""
    planes = tuple(torch.full((1, 1, 1, 1), value, dtype=torch.float64) for value in (0.5, 0.5, 0.25, 0.5))
    x, y, w, h = planes
    truth = truth_of([(0, 0, 0.5, 0.5, 0.5, 0.5)], 1)
    padded = padded_boxes_xyxy(truth, torch.float64)
    assert not exceeds_max_iou((x, y, w, h), padded, 0.5).any()
    assert exceeds_max_iou((x, y, w, h), padded, 0.49).all()
    assert max_iou((x, y, w, h), padded)[0].item() == 0.5


def _planes_in_cells(seed: int, reach: float) -> Planes:
    """Return boxes [3, 2, 6, 9] of float32 whose centers lie up to ``reach`` cells outside their cells."""
    generator = torch.Generator().manual_seed(seed)
    x, y, w, h = (torch.rand(3, 2, 6, 9, generator=generator) for _ in range(4))
    x = (x * (1 + 2 * reach) - reach + torch.arange(9)) / 9
    y = (y * (1 + 2 * reach) - reach + torch.arange(6)[:, None]) / 6
    return x, y, w.square(), h.square()


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("reach", [0.0, 0.5])
def test_what_is_found_by_cell_is_what_exceeds(threshold: float, reach: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both go by the same numbers, so the same predictors are found to the last one, in parts of any size."""
    for seed, most in ((0, 1), (1, 100), (2, 2**17)):
        monkeypatch.setattr(ignore, "MAX_CELLS", most)
        planes, truth = _planes_in_cells(seed, reach), random_truth(seed, 3, 12, 4)
        own = truth.boxes_cxcywh_norm.float()
        own[:2, :2], own[2, 2:] = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 0.0
        truth = replace(truth, boxes_cxcywh_norm=own)
        objects, predictors = PredictorsByCell(planes, threshold, reach).above_threshold(own, truth.image_index)
        for index in range(len(own)):
            alone = padded_boxes_xyxy(replace(truth, boxes_cxcywh_norm=_only(own, index)), torch.float32)
            expected = exceeds_max_iou(planes, alone, threshold).flatten().nonzero()[:, 0]
            assert torch.equal(predictors[objects == index].sort().values, expected)


def _only(boxes_cxcywh: Tensor, index: int) -> Tensor:
    """Return the boxes, all but one of them without extent."""
    alone = boxes_cxcywh.clone()
    alone[torch.arange(len(alone)) != index, 2:] = 0
    return alone


def test_no_objects_exceed_nothing() -> None:
    found = PredictorsByCell(_planes_in_cells(0, 0.0), 0.5, 0.0)
    objects, predictors = found.above_threshold(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert len(objects) == len(predictors) == 0

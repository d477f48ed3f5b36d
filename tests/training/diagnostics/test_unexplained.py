import math

import pytest
import torch
from torch import Tensor

from tests.app.scoring import SPECS, quiet_heads
from yoloscope.training.diagnostics.predictions import Predictions, PredictorPosition, predict
from yoloscope.training.diagnostics.unexplained import Unexplained, find_unexplained

SPEC = SPECS["v4"]
NONE = torch.zeros(0, 4)
# Anchor 0 of the coarse scale is 32x40; the center of cell (1, 2), stride 16, is (24, 40): the box 8..40 x 20..60.
PLACE = PredictorPosition(1, (1, 2), 0)
BOX = torch.tensor([[8.0, 20.0, 40.0, 60.0]]) / 64


def _predictions(*confident: tuple[PredictorPosition, dict[int, float]]) -> Predictions:
    """Quiet heads in which some predictors are sure (0.9975) of an object and of the given class logits."""
    heads = quiet_heads(SPEC)
    for position, logits in confident:
        entries = heads[position.head].reshape(1, 2, 8, *heads[position.head].shape[2:])
        column, row = position.cell
        entries[0, position.anchor, 4, row, column] = 6.0
        for class_id, logit in logits.items():
            entries[0, position.anchor, 5 + class_id, row, column] = logit
    return predict([torch.from_numpy(head) for head in heads], SPEC)


def _rows(predictions: Predictions, labels: Tensor = NONE, crowds: Tensor = NONE) -> list[int]:
    return [item.row for item in find_unexplained(predictions, labels, crowds, SPEC.nms)]


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_nothing_confident_is_nothing_to_explain() -> None:
    assert _rows(_predictions()) == []


def test_a_confident_prediction_without_label_is_named_with_its_best_class() -> None:
    predictions = _predictions((PLACE, {0: 0.5, 1: 3.0}))
    (found,) = find_unexplained(predictions, NONE, NONE, SPEC.nms)
    assert found == Unexplained(predictions.row(PLACE), 1, found.score)
    assert found.score == pytest.approx(_sigmoid(6) * _sigmoid(3), rel=1e-5)


def test_a_label_of_any_class_explains_from_an_overlap_of_a_half() -> None:
    predictions = _predictions((PLACE, {1: 3.0}))
    half = torch.tensor([[8.0, 20.0, 24.0, 60.0]]) / 64
    less = torch.tensor([[8.0, 20.0, 23.9, 60.0]]) / 64
    assert _rows(predictions, BOX) == []
    assert _rows(predictions, half) == []
    assert _rows(predictions, less) == [predictions.row(PLACE)]


def test_a_crowd_region_explains_what_lies_half_in_it() -> None:
    predictions = _predictions((PLACE, {1: 3.0}))
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    corner = torch.tensor([[0.0, 0.0, 23.9, 64.0]]) / 64
    assert _rows(predictions, crowds=whole) == []
    assert _rows(predictions, crowds=corner) == [predictions.row(PLACE)]


def test_suppressed_predictions_are_not_named_and_the_best_comes_first() -> None:
    # Anchors 2 and 3 of one cell overlap by 32*40 / (50*60) = 0.43: below the threshold, so both stay. A second
    # prediction in the neighboring cell of the same anchor overlaps by 16*40 / (2*1280 - 640) = 1/3 and stays too.
    near = PredictorPosition(1, (1, 2), 1)
    far = PredictorPosition(0, (7, 0), 0)
    predictions = _predictions((PLACE, {1: 2.0}), (far, {2: 3.0}))
    assert _rows(predictions) == [predictions.row(far), predictions.row(PLACE)]
    same = _predictions((PLACE, {1: 2.0}), (near, {1: 3.0}))
    strict = SPEC.nms.model_copy(update={"iou_threshold": 0.4, "beta": None})
    assert [item.row for item in find_unexplained(same, NONE, NONE, strict)] == [same.row(near)]

import math

import numpy as np
import pytest
import torch

from tests.app.scoring import SPECS, random_heads
from yoloscope.models.decoding import decode_heads
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.diagnostics.predictions import Predictions, PredictorPosition, predict


def _predictions(spec: DetectorSpec) -> Predictions:
    return predict([torch.from_numpy(head) for head in random_heads(spec)], spec)


@pytest.mark.parametrize("name", ["v4", "v2", "v1"])
def test_rows_and_positions_are_inverse(name: str) -> None:
    predictions = _predictions(SPECS[name])
    positions = [predictions.position(row) for row in range(len(predictions.objectness))]
    assert [predictions.row(position) for position in positions] == list(range(len(positions)))
    assert len(set(positions)) == len(positions)


def test_positions_by_hand() -> None:
    # The first head of v4 has 2 anchors on an 8x8 grid.
    predictions = _predictions(SPECS["v4"])
    assert predictions.position(0) == PredictorPosition(0, (0, 0), 0)
    assert predictions.position(64 + 8 * 2 + 5) == PredictorPosition(0, (5, 2), 1)
    assert predictions.position(128 + 16 + 4 * 3 + 1) == PredictorPosition(1, (1, 3), 1)
    with pytest.raises(IndexError):
        predictions.position(128 + 32)


@pytest.mark.parametrize("name", ["v4", "v2", "v1"])
def test_scores_are_objectness_times_class_probability(name: str) -> None:
    spec = SPECS[name]
    predictions = _predictions(spec)
    raw = random_heads(spec)[0]
    position = PredictorPosition(0, (2, 1), 1)
    row = predictions.row(position)
    if name == "v1":
        flat = spec.heads[0].detection_layout(3)
        cell = 1 * 4 + 2
        objectness = raw[0, flat.confidences].reshape(16, 2)[cell, 1]
        classes = raw[0, flat.classes].reshape(16, 3)[cell]
    else:
        entries = raw.reshape(1, spec.heads[0].num_anchors, 8, *raw.shape[2:])[0, 1, :, 1, 2]
        objectness = 1 / (1 + math.exp(-entries[4]))
        logits = entries[5:].astype(np.float64)
        classes = np.exp(logits) / np.exp(logits).sum() if name == "v2" else 1 / (1 + np.exp(-logits))
    assert float(predictions.objectness[row]) == pytest.approx(float(objectness), rel=1e-5)
    expected = torch.from_numpy(np.asarray(objectness * classes, np.float32))
    torch.testing.assert_close(predictions.class_scores[row], expected, rtol=1e-5, atol=1e-7)


def test_boxes_are_those_of_decoding() -> None:
    spec = SPECS["v4"]
    heads = [torch.from_numpy(head) for head in random_heads(spec)]
    assert torch.equal(predict(heads, spec).boxes_xyxy_norm, decode_heads(heads, spec).boxes_xyxy_norm[0])

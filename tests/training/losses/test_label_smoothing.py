"""Label smoothing, on paper."""

import pytest
import torch

from tests.training.losses.cases import spec_v4
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses import compute_loss
from yoloscope.training.losses.presets import PRESETS


@pytest.mark.parametrize(
    ("smoothing", "expected"),
    [
        # Logits 2 (the object's class) and -1. Without: log(1 + e^-2) + log(1 + e^-1) = 0.126928 + 0.313262.
        (0.0, 0.440190),
        # Targets .95 and .05: .05 more of the first logit, .05 less of the second: + .05 * 2 + .05 * 1.
        (0.1, 0.590190),
    ],
)
def test_the_class_loss_of_one_object(smoothing: float, expected: float) -> None:
    spec = spec_v4(classes=2)
    heads = [torch.zeros(spec.head_shape(index, 1)) for index in range(2)]
    for head in heads:
        predictors = head.view(1, 3, 7, *head.shape[2:])
        predictors[:, :, 5], predictors[:, :, 6] = 2.0, -1.0
    width, height = 40 / spec.input_width, 28 / spec.input_height
    truth = GroundTruth(torch.tensor([[0.5, 0.5, width, height]]), torch.tensor([0]), torch.tensor([0]), 1)
    preset = PRESETS["v4"].replace(match="best_anchor", label_smoothing=smoothing)
    report = compute_loss(tuple(heads), truth, spec, preset=preset)
    assert float(report.terms["classification"].raw) == pytest.approx(expected, abs=1e-6)

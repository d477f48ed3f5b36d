"""Torch networks as evaluation runs them."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.training.evaluation.stand_in import spec_of
from yoloscope.training.evaluation.detectors import TorchDetector


class Brightness(nn.Module):
    """One anchor, one class, a grid of 2x1: objectness grows with the brightness of the left and the right half."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        halves = images.mean((1, 2)).reshape(len(images), 1, 1, 2, -1).mean(4)
        objectness = (halves - 0.5) * self.scale
        nothing = torch.zeros_like(objectness)
        return (torch.cat((nothing, nothing, nothing, nothing, objectness, nothing + 20), 1),)


def test_a_network_is_run_in_evaluation_mode_and_left_as_it_was() -> None:
    network = Brightness().train()
    detector = TorchDetector(network, spec_of(("thing",)))
    image = np.zeros((1, 32, 64, 3), np.float32)
    image[:, :, 32:] = 255
    (found,) = detector.detect(image, [0.1], [0.45])
    assert network.training
    assert found.class_ids.tolist() == [0]
    assert found.scores[0] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(found.boxes_xyxy, [[44, 12, 52, 20]], atol=1e-4)

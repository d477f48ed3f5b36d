"""Artefacts and torch networks as evaluation runs them, and the pictures that it feeds them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.errors import ModelLoadError
from models.preprocess import place
from models.spec import DetectorSpec
from tests.app.artefact import BOXES, write_tiny_artefact
from tests.training.evaluation.stand_in import spec_of
from training.evaluation.artefact import ArtefactDetector
from training.evaluation.placing import place_unrounded
from training.evaluation.torch_detector import TorchDetector


def test_an_artefact_takes_whole_values_as_bytes_and_those_between(tmp_path: Path) -> None:
    detector = ArtefactDetector(write_tiny_artefact(tmp_path / "tiny.onnx"), threads=1)
    assert detector.spec.class_names == ("cat", "dog", "traffic light")
    images = np.stack([np.full((32, 32, 3), value, np.float32) for value in (51, 25.5)])
    bright, dark = detector.detect(images, [0.4, 0.2], [0.45, 0.45])
    assert bright.scores.tolist() == pytest.approx([0.6, 0.5])
    assert dark.scores.tolist() == pytest.approx([0.55, 0.5, 0.375])
    assert dark.boxes_xyxy.tolist() == [list(box) for box in BOXES[:3]]


@pytest.mark.parametrize("content", [b"", b"not onnx at all"])
def test_what_is_no_artefact_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"expected an artefact at .*broken\.onnx"):
        ArtefactDetector(path)


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
    picture = np.zeros((1, 32, 64, 3), np.float32)
    picture[:, :, 32:] = 255
    (found,) = detector.detect(picture, [0.1], [0.45])
    assert network.training
    assert found.class_ids.tolist() == [0]
    assert found.scores[0] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(found.boxes_xyxy, [[44, 12, 52, 20]], atol=1e-4)


@pytest.mark.parametrize("placement", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [(7, 9), (32, 64), (100, 30), (1, 1)])
def test_unrounded_pictures_round_to_the_served_ones(placement: str, size: tuple[int, int]) -> None:
    spec: DetectorSpec = spec_of(("thing",), placement)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    exact, where = place_unrounded(image, spec)
    served, expected = place(image, spec)
    assert where == expected
    assert exact.shape == served.shape
    assert np.abs(exact - served).max() <= 0.5 + 1e-3


def test_a_gradient_is_not_rounded() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, 1] = 3
    exact, _ = place_unrounded(image, spec_of(("thing",)))
    np.testing.assert_allclose(exact[0, :, 0], np.linspace(0, 3, 64), atol=1e-6)


def test_smoothed_pictures_are_the_served_ones() -> None:
    spec = spec_of(("thing",))
    spec = spec.model_copy(update={"resize": spec.resize.model_copy(update={"interpolation": "antialiased"})})
    image = np.random.default_rng(0).integers(0, 256, (50, 90, 3)).astype(np.uint8)
    np.testing.assert_array_equal(place_unrounded(image, spec)[0], place(image, spec)[0])

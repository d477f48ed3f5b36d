"""The optional input images_fraction: levels as interpolated reach the network, whole levels suffice without it."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from tests.app.artifact import write_tiny_artifact
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.network import Network
from yoloscope.models.registry import build
from yoloscope.training.export.onnx import export_onnx

LEVELS = np.random.default_rng(0).random((2, 64, 96, 3), np.float32) * 255


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return build("yolov4-tiny", num_classes=2, input_size=(96, 64)).eval()


@pytest.fixture(scope="module")
def artifact(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    export_onnx(network, network.spec, path)
    return path


def torch_heads(network: Network, levels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    with torch.inference_mode():
        return [head.numpy() for head in network(torch.from_numpy(levels).permute(0, 3, 1, 2) / 255)]


def test_it_is_not_among_the_required_inputs(artifact: Path) -> None:
    session = onnxruntime.InferenceSession(str(artifact), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["images", "score_threshold", "iou_threshold"]
    assert [value.name for value in session.get_overridable_initializers()] == ["images_fraction"]


def test_float_levels_are_kept_to_half_a_256th(artifact: Path, network: Network) -> None:
    kept = np.floor(LEVELS * 256 + 0.5) / 256
    for got, expected in zip(Runtime(artifact, "cpu").heads(LEVELS), torch_heads(network, kept), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_whole_levels_are_taken_as_they_are(artifact: Path, network: Network) -> None:
    whole = LEVELS.astype(np.uint8)
    expected = torch_heads(network, whole.astype(np.float32))
    for got, wanted in zip(Runtime(artifact, "cpu").heads(whole), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_the_whole_range_survives_the_split(artifact: Path) -> None:
    runtime = Runtime(artifact, "cpu")
    ends = np.stack([np.zeros((64, 96, 3), np.uint8), np.full((64, 96, 3), 255, np.uint8)])
    for whole, split in zip(runtime.heads(ends), runtime.heads(ends.astype(np.float32)), strict=True):
        np.testing.assert_array_equal(whole, split)


def test_an_artifact_without_it_gets_rounded_levels(tmp_path: Path) -> None:
    runtime = Runtime(write_tiny_artifact(tmp_path / "tiny.onnx"), "cpu")
    height, width = runtime.spec.input_height, runtime.spec.input_width
    levels = np.random.default_rng(1).random((1, height, width, 3), np.float32) * 254
    rounded = np.floor(levels + 0.5).astype(np.uint8)
    for got, expected in zip(runtime.heads(levels), runtime.heads(rounded), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_exporting_leaves_the_mode_of_every_part_alone(tmp_path: Path) -> None:
    network = build("yolov4-tiny", num_classes=1, input_size=(32, 32))
    parts = list(network.modules())
    parts[3].eval()
    before = [part.training for part in parts]
    export_onnx(network, network.spec, tmp_path / "a.onnx")
    assert [part.training for part in parts] == before

"""Artifacts of gray networks and of networks of other planes than RGB, in onnxruntime and in 8 bits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from yoloscope.app.services.runtime import Runtime
from yoloscope.models.errors import SpecError
from yoloscope.models.network import Network
from yoloscope.models.registry import build
from yoloscope.training.export.onnx import export_onnx
from yoloscope.training.export.quantization.ranges import network_inputs

SIDE = 64


def written(channels: int, path: Path) -> Network:
    torch.manual_seed(0)
    network = build("yolov4-tiny", 2, input_size=(SIDE, SIDE), width=0.125, channels=channels).eval()
    assert not export_onnx(network, network.spec, path).differences
    return network


def test_a_gray_network_takes_rgb_and_sees_its_shares_of_256ths(tmp_path: Path) -> None:
    network = written(1, tmp_path / "gray.onnx")
    images = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8)
    gray = (images[..., 0] * 77.0 + images[..., 1] * 150.0 + images[..., 2] * 29.0) / 256 / 255
    with torch.inference_mode():
        expected = network(torch.from_numpy(gray.astype(np.float32))[:, None])
    runtime = Runtime(tmp_path / "gray.onnx", "cpu")
    assert runtime.spec.input_channels == 1
    for got, wanted in zip(runtime.heads(images), expected, strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), atol=1e-5)


def test_five_planes_are_taken_as_five(tmp_path: Path) -> None:
    network = written(5, tmp_path / "planes.onnx")
    images = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 5)).astype(np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    runtime = Runtime(tmp_path / "planes.onnx", "cpu")
    runtime.warm_up()
    for got, wanted in zip(runtime.heads(images), expected, strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), atol=1e-5)
    with pytest.raises(SpecError, match=r"\(64, 64, 5\).*\(1, 64, 64, 3\)"):
        runtime.heads(images[..., :3])


@pytest.mark.parametrize(("channels", "expected"), [(1, [100 / 255]), (3, [100 / 255, 100 / 255, 100 / 255])])
def test_calibration_sees_what_the_network_sees(channels: int, expected: list[float]) -> None:
    (image,) = network_inputs([np.full((1, 1, 3), 100, np.float32)], channels)
    assert image.shape == (1, channels, 1, 1)
    np.testing.assert_allclose(image.flatten(), expected, atol=1e-7)

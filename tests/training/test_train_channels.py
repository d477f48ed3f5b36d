"""Training of a gray network: the option reaches the first layer, the loss and the artifact."""

from pathlib import Path

import numpy as np

from tests.training.runs import quick_config, write_shapes
from yoloscope.app.services.runtime import Runtime
from yoloscope.training.train import train


def test_a_gray_network_is_trained_validated_and_written(tmp_path: Path) -> None:
    config = quick_config(network_options={"channels": 1}, data={"val": "val"}, augment={"mosaic": 1.0})
    result = train(config, write_shapes(tmp_path / "data"), tmp_path / "run")
    assert result.artifact is not None
    assert result.parity is not None
    assert result.parity.differences == ()
    runtime = Runtime(result.artifact, "cpu", 1)
    assert runtime.spec.input_channels == 1
    blue = np.zeros((1, 64, 64, 3), np.uint8)
    blue[..., 2] = 129
    gray = np.full((1, 64, 64, 3), 129 * 29 / 256, np.float32)
    for got, expected in zip(runtime.heads(blue), runtime.heads(gray), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)

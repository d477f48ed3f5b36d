"""The self-check of models whose scores are next to nothing: sound models pass it, whatever their background is."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.darknet.cfgs import section
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.weights import load_weights
from yoloscope.models.darknet.weights_header import WeightsHeader
from yoloscope.training.export.onnx import export_onnx
from yoloscope.training.export.parity import _threshold

NET = "[net]\nwidth=64\nheight=64\nchannels=3\n" + section("maxpool", "size=8", "stride=8")
YOLO = section("yolo", "mask=0,1,2", "anchors=10,14, 23,27, 37,58", "classes=1", "num=3")


@pytest.mark.parametrize("objectness", [-80.0, -15.0, -9.0, 0.0])
def test_a_quiet_background_is_no_difference(objectness: float, tmp_path: Path) -> None:
    conv = section("convolutional", "filters=18", "size=1", "stride=1", "pad=1", "activation=linear")
    network = build_darknet(NET + conv + YOLO, class_names=["thing"])
    rng = np.random.default_rng(0)
    biases = np.zeros((3, 6), "<f4")
    biases[:, 4] = objectness
    kernel = rng.normal(0, 0.5, (18, 3)).astype("<f4")
    load_weights(network, WeightsHeader().pack() + biases.tobytes() + kernel.tobytes())
    report = export_onnx(network, network.spec, tmp_path / "quiet.onnx")
    assert report.differences == ()
    assert (report.num_detections > 0) == (objectness > -11)


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [
        ([0.9, 0.8, 0.5, 0.3], 0.65),  # the widest gap of all, from .8 to .5
        ([3e-7] * 500, 0.25),  # nothing above 1e-5: the usual threshold
        ([1.00001e-5], 0.25),  # as good as nothing
        ([], 0.25),
        ([2e-4, 1e-34, 1e-36], (2e-4 + 1e-5) / 2),
    ],
)
def test_thresholds_lie_in_gaps_that_matter(scores: list[float], threshold: float) -> None:
    assert _threshold(np.array(scores), 8, 0.25) == pytest.approx(threshold, rel=1e-6)


def test_random_weights_of_many_seeds_agree(tmp_path: Path) -> None:
    conv = section("convolutional", "filters=18", "size=3", "stride=1", "pad=1", "activation=linear")
    network = build_darknet(NET + conv + YOLO, class_names=["thing"])
    for seed in range(2):
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(0, 0.4)
        assert export_onnx(network, network.spec, tmp_path / "model.onnx").differences == ()

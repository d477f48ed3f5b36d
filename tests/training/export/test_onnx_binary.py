"""Binary (xnor) networks: rounding flips signs, so their heads are reported and not held to a tolerance."""

from pathlib import Path

import pytest
import torch

from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.weights import load_weights, save_weights
from yoloscope.training.export.onnx import export_onnx

LAYER = "[convolutional]\nbatch_normalize=1\nfilters=32\nsize=3\nstride=1\npad=1\nactivation=leaky\n"
HEAD = (
    "[convolutional]\nfilters=14\nsize=1\nstride=1\npad=1\nactivation=linear\n"
    "[yolo]\nmask=0,1\nanchors=8,8, 16,16\nclasses=2\nnum=2\n"
)


def cfg(xnor_layers: int) -> str:
    binary = LAYER.replace("filters", "xnor=1\nfilters")
    return "[net]\nwidth=32\nheight=32\nchannels=3\n" + LAYER + binary * xnor_layers + HEAD


@pytest.mark.parametrize("xnor_layers", [0, 6])
def test_a_binary_network_is_exported_and_said_to_be_one(tmp_path: Path, xnor_layers: int) -> None:
    torch.manual_seed(0)
    network = build_darknet(cfg(xnor_layers))
    load_weights(network, save_weights(network))
    report = export_onnx(network, network.spec, tmp_path / "model.onnx")
    assert report.is_binary == (xnor_layers > 0)
    assert ("binary network" in str(report)) == report.is_binary
    assert report.num_detections > 0

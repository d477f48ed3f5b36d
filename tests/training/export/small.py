"""A small network with lively random weights, its artifact, and images for it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from yoloscope.models.detector import Detector
from yoloscope.models.network import Network
from yoloscope.models.registry import build
from yoloscope.training.export.onnx import build_artifact
from yoloscope.training.export.quantization.ranges import find_calibration, network_inputs

SIDE = 64
CLASS_NAMES = ("square", "disc")
MISH: dict[str, float] = {"width": 0.125, "depth": 0.1}
"""Options of a small yolov4."""


def lively(name: str, images: list[NDArray[np.float32]], **options: Any) -> Network:
    """Return a network whose values neither vanish nor explode: statistics of normalization are those of images."""
    torch.manual_seed(0)
    network = build(name, len(CLASS_NAMES), input_size=(SIDE, SIDE), class_names=CLASS_NAMES, **options)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        network.train()
        network(torch.from_numpy(np.concatenate(network_inputs(images))))
    return network.eval()


def write_lively(path: Path, data: Path, name: str = "yolov4-tiny", **options: Any) -> Path:
    """Write the artifact of such a network for the images of a folder."""
    spec = build(name, len(CLASS_NAMES), input_size=(SIDE, SIDE), **options).spec
    network = lively(name, find_calibration(data, "train", 6).levels(spec), **options)
    onnx.save(build_artifact(Detector(network, network.spec)), path)
    return path

"""Detectors traced one after the other share what they can, and nothing else."""

import numpy as np
import onnxruntime
import torch
from torch import nn

from yoloscope.models.detector import Detector
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec, NmsSpec
from yoloscope.training.export.tracing import trace_detector


def detector(class_names: tuple[str, ...], width: int, max_candidates: int) -> Detector:
    """One convolution with a stride of 16 at a height of 32, with one anchor."""
    torch.manual_seed(0)
    spec = DetectorSpec(
        name="one",
        family="v4",
        class_names=class_names,
        input_width=width,
        input_height=32,
        anchors_px=((8.0, 8.0),),
        heads=(HeadSpec(kind="yolo", grid_width=width // 16, grid_height=2, anchor_indices=(0,)),),
        nms=NmsSpec(max_candidates=max_candidates),
        loss=LossSpec(preset="v4"),
    )
    return Detector(Tuple(nn.Conv2d(3, 5 + len(class_names), 16, 16)), spec)


class Tuple(nn.Module):
    """Heads are a tuple."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.layer(images),)


def test_each_has_the_numbers_of_its_own_spec() -> None:
    """All three share suppression, the last two decoding as well; of 18 candidates one may enter suppression."""
    counts = []
    for names, width, max_candidates in ((("a", "b"), 64, 100), (("a", "b", "c"), 48, 100), (("a", "b", "c"), 48, 1)):
        traced = detector(names, width, max_candidates)
        session = onnxruntime.InferenceSession(trace_detector(traced).SerializeToString())
        images = np.random.default_rng(0).integers(0, 256, (1, 32, width, 3), np.uint8)
        thresholds = np.zeros(1, np.float32), np.ones(1, np.float32)
        fraction = np.zeros((1, 1, 1, 1), np.uint8)
        feeds = dict(zip([value.name for value in session.get_inputs()], (images, *thresholds, fraction), strict=True))
        found = session.run(None, feeds)
        with torch.inference_mode():
            wanted = traced(*map(torch.from_numpy, (images, *thresholds, fraction)))
        for got, expected in zip(found, wanted, strict=True):
            np.testing.assert_allclose(got, expected.numpy(), rtol=1e-5, atol=1e-5)
        counts.append(found[0].item())
    assert counts == [2 * 4 * 2, 3 * 2 * 3, 1]

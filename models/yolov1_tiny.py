"""Tiny YOLOv1 (darknet cfg/yolov1/tiny-yolo.cfg): eight convolutions and one matrix."""

from __future__ import annotations

from torch import Tensor, nn

from models.backbones.tiny import TinyBackbone, scaled
from models.layers.connected import Connected
from models.layers.convolution import ConvBlock
from models.outline import Network, Outline, detection_spec
from models.spec import DetectorSpec

_TINY_STRIDE = 64


class YoloV1Tiny(Network):
    """A tiny backbone pooled to stride 64, two wide convolutions, and a matrix that predicts every cell."""

    def __init__(self, spec: DetectorSpec, width: float) -> None:
        super().__init__(spec)
        head = spec.heads[0]
        widths = [scaled(channels, width) for channels in (16, 32, 64, 128, 256, 512, 1024, 256)]
        self.backbone = TinyBackbone(widths[:6], last_stride=2)
        self.mix = nn.Sequential(ConvBlock(widths[5], widths[6], 3), ConvBlock(widths[6], widths[7], 3))
        cells = head.grid_height * head.grid_width
        self.predict = Connected(widths[7] * cells, self.head_channels(0), activation="linear")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the flat head."""
        return (self.predict(self.mix(self.backbone(images)[-1])).flatten(1),)


def yolov1_tiny(outline: Outline, *, boxes_per_cell: int = 2, logistic: bool = False, width: float = 1.0) -> YoloV1Tiny:
    """Return the network; ``logistic`` has its entries decoded as the article's formulas say."""
    return YoloV1Tiny(detection_spec(outline, _TINY_STRIDE, boxes_per_cell, logistic=logistic), width)

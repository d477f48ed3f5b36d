"""Tiny YOLOv2 (darknet cfg/yolov2-tiny.cfg and cfg/yolov2-tiny-voc.cfg)."""

from __future__ import annotations

from torch import Tensor, nn

from models.anchors import YOLOV2_COCO, YOLOV2_TINY_VOC
from models.backbones.tiny import TinyBackbone, scaled
from models.layers.convolution import ConvBlock
from models.outline import Network, Outline, region_spec
from models.spec import DetectorSpec

_TINY_STRIDE = 32


class YoloV2Tiny(Network):
    """A tiny backbone, two wide convolutions of which the second has ``last_channels``, one head."""

    def __init__(self, spec: DetectorSpec, last_channels: int, width: float) -> None:
        super().__init__(spec)
        widths = [scaled(channels, width) for channels in (16, 32, 64, 128, 256, 512, 1024, last_channels)]
        self.backbone = TinyBackbone(widths[:6])
        self.mix = nn.Sequential(ConvBlock(widths[5], widths[6], 3), ConvBlock(widths[6], widths[7], 3))
        self.predict = ConvBlock(widths[7], self.head_channels(0), 1, batch_norm=False, activation="linear")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw head at stride 32."""
        return (self.predict(self.mix(self.backbone(images)[-1])),)


def yolov2_tiny(outline: Outline, *, width: float = 1.0) -> YoloV2Tiny:
    """Return the network published for COCO."""
    return YoloV2Tiny(region_spec(outline, YOLOV2_COCO, _TINY_STRIDE), 512, width)


def yolov2_tiny_voc(outline: Outline, *, width: float = 1.0) -> YoloV2Tiny:
    """Return the network published for VOC, whose last convolution is twice as wide."""
    return YoloV2Tiny(region_spec(outline, YOLOV2_TINY_VOC, _TINY_STRIDE), 1024, width)

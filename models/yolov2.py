"""YOLOv2 (Redmon and Farhadi 2017, "YOLO9000") and its tiny versions (darknet cfg/yolov2-tiny.cfg, -tiny-voc.cfg)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yoloscope.models.anchors import YOLOV2_COCO, YOLOV2_TINY_VOC, YOLOV2_VOC, AnchorSet
from yoloscope.models.backbones.darknet import Darknet19, TinyBackbone, scaled
from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.layers.space_to_depth import PassthroughReorder
from yoloscope.models.network import Network, NetworkConfig, region_spec
from yoloscope.models.spec import DetectorSpec

_STRIDE = 32


class YoloV2(Network):
    """Darknet-19, two more convolutions, and a passthrough that brings the stride 16 map beside the stride 32 map."""

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__(spec)
        self.backbone = Darknet19(spec.input_channels)
        self.deepen = nn.Sequential(ConvBlock(1024, 1024, 3), ConvBlock(1024, 1024, 3))
        self.passthrough = nn.Sequential(ConvBlock(512, 64, 1), PassthroughReorder(2))
        self.mix = ConvBlock(64 * 4 + 1024, 1024, 3)
        self.predict = ConvBlock(1024, self.head_channels(0), 1, batch_norm=False, activation="linear")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw head at stride 32."""
        fine, coarse = self.backbone(images)
        deep = self.deepen(coarse)
        return (self.predict(self.mix(torch.cat((self.passthrough(fine), deep), 1))),)


def yolov2(config: NetworkConfig) -> YoloV2:
    """Return the network with the anchors published for COCO."""
    return _build(config, YOLOV2_COCO)


def yolov2_voc(config: NetworkConfig) -> YoloV2:
    """Return the network with the anchors published for VOC."""
    return _build(config, YOLOV2_VOC)


def _build(config: NetworkConfig, published: AnchorSet) -> YoloV2:
    return YoloV2(region_spec(config, published, _STRIDE))


class YoloV2Tiny(Network):
    """A tiny backbone, two wide convolutions of which the second has ``last_channels``, one head."""

    def __init__(self, spec: DetectorSpec, last_channels: int, width: float) -> None:
        super().__init__(spec)
        widths = [scaled(channels, width) for channels in (16, 32, 64, 128, 256, 512, 1024, last_channels)]
        self.backbone = TinyBackbone(widths[:6], in_channels=spec.input_channels)
        self.mix = nn.Sequential(ConvBlock(widths[5], widths[6], 3), ConvBlock(widths[6], widths[7], 3))
        self.predict = ConvBlock(widths[7], self.head_channels(0), 1, batch_norm=False, activation="linear")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw head at stride 32."""
        return (self.predict(self.mix(self.backbone(images)[-1])),)


def yolov2_tiny(config: NetworkConfig, *, width: float = 1.0) -> YoloV2Tiny:
    """Return the network published for COCO."""
    return YoloV2Tiny(region_spec(config, YOLOV2_COCO, _STRIDE), 512, width)


def yolov2_tiny_voc(config: NetworkConfig, *, width: float = 1.0) -> YoloV2Tiny:
    """Return the network published for VOC, whose last convolution is twice as wide."""
    return YoloV2Tiny(region_spec(config, YOLOV2_TINY_VOC, _STRIDE), 1024, width)

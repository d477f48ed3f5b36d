"""YOLOv2 (Redmon and Farhadi 2017, "YOLO9000")."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.anchors import YOLOV2_COCO, YOLOV2_VOC, AnchorSet
from models.backbones.darknet19 import Darknet19
from models.layers.convolution import ConvBlock
from models.layers.reorg import Reorg
from models.outline import Network, Outline, region_spec
from models.spec import DetectorSpec

_STRIDE = 32


class YoloV2(Network):
    """Darknet-19, two more convolutions, and a passthrough that brings the stride 16 map beside the stride 32 map."""

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__(spec)
        self.backbone = Darknet19()
        self.deepen = nn.Sequential(ConvBlock(1024, 1024, 3), ConvBlock(1024, 1024, 3))
        self.passthrough = nn.Sequential(ConvBlock(512, 64, 1), Reorg(2))
        self.mix = ConvBlock(64 * 4 + 1024, 1024, 3)
        self.predict = ConvBlock(1024, self.head_channels(0), 1, batch_norm=False, activation="linear")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw head at stride 32."""
        fine, coarse = self.backbone(images)
        deep = self.deepen(coarse)
        return (self.predict(self.mix(torch.cat((self.passthrough(fine), deep), 1))),)


def yolov2(outline: Outline) -> YoloV2:
    """Return the network with the anchors published for COCO."""
    return _build(outline, YOLOV2_COCO)


def yolov2_voc(outline: Outline) -> YoloV2:
    """Return the network with the anchors published for VOC."""
    return _build(outline, YOLOV2_VOC)


def _build(outline: Outline, published: AnchorSet) -> YoloV2:
    return YoloV2(region_spec(outline, published, _STRIDE))

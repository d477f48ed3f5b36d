"""YOLOv4-tiny (Wang et al. 2020, "Scaled-YOLOv4"; darknet cfg/yolov4-tiny.cfg)."""

from __future__ import annotations

from torch import Tensor

from models.anchors import YOLOV4_TINY
from models.backbones.cspdarknet_tiny import CspDarknetTiny
from models.backbones.tiny import scaled
from models.necks.tiny_fpn import TinyFpnHeads
from models.outline import DIOU_NMS, Network, Outline, Scale, yolo_spec
from models.spec import DetectorSpec

_SCALES = (Scale(32, 1.05), Scale(16, 1.05))


class YoloV4Tiny(Network):
    """Three partial blocks and two heads."""

    def __init__(self, spec: DetectorSpec, width: float, *, spp: bool) -> None:
        super().__init__(spec)
        self.backbone = CspDarknetTiny(width)
        head_channels = [self.head_channels(index) for index in range(2)]
        self.neck = TinyFpnHeads(self.backbone.channels, scaled(256, width), head_channels, spp=spp)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw heads at strides 32 and 16."""
        heads: tuple[Tensor, ...] = self.neck(*self.backbone(images))
        return heads


def build(outline: Outline, *, width: float = 1.0, spp: bool = False) -> YoloV4Tiny:
    """Return the network; the published anchors leave the smallest one to no head, own anchors are shared out.

    ``width`` multiplies channels, ``spp`` puts spatial pyramid pooling before the heads.
    """
    return YoloV4Tiny(yolo_spec(outline, "v4", _SCALES, YOLOV4_TINY, nms=DIOU_NMS), width, spp=spp)

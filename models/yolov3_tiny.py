"""YOLOv3-tiny (darknet cfg/yolov3-tiny.cfg)."""

from __future__ import annotations

from torch import Tensor

from models.anchors import YOLOV3_TINY
from models.backbones.tiny import TinyBackbone, scaled
from models.layers.convolution import ConvBlock
from models.necks.tiny_fpn import TinyFpnHeads
from models.outline import Network, Outline, Scale, yolo_spec
from models.spec import DetectorSpec

_SCALES = (Scale(32), Scale(16))


class YoloV3Tiny(Network):
    """A tiny backbone, one wide convolution, and two heads."""

    def __init__(self, spec: DetectorSpec, width: float) -> None:
        super().__init__(spec)
        widths = [scaled(channels, width) for channels in (16, 32, 64, 128, 256, 512, 1024, 256)]
        self.backbone = TinyBackbone(widths[:6])
        self.deepen = ConvBlock(widths[5], widths[6], 3)
        self.neck = TinyFpnHeads((widths[4], widths[6]), widths[7], [self.head_channels(index) for index in range(2)])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw heads at strides 32 and 16."""
        maps = self.backbone(images)
        heads: tuple[Tensor, ...] = self.neck(maps[4], self.deepen(maps[-1]))
        return heads


def yolov3_tiny(outline: Outline, *, width: float = 1.0) -> YoloV3Tiny:
    """Return the network."""
    return YoloV3Tiny(yolo_spec(outline, "v3", _SCALES, YOLOV3_TINY), width)

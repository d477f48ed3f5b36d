"""YOLOv3 (Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement"), with SPP, and its tiny version.

The three are darknet's cfg/yolov3.cfg, yolov3-spp.cfg and yolov3-tiny.cfg.
"""

from __future__ import annotations

from torch import Tensor, nn

from yoloscope.models.anchors import YOLOV3, YOLOV3_TINY
from yoloscope.models.backbones.darknet import Darknet53, TinyBackbone, scaled
from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.necks.blocks import FiveConvs, SpatialPyramid
from yoloscope.models.necks.fpn import FpnHeads, TinyFpnHeads
from yoloscope.models.network import Network, NetworkConfig, Scale, yolo_spec
from yoloscope.models.spec import DetectorSpec

SCALES = (Scale(32), Scale(16), Scale(8))
_TINY_SCALES = (Scale(32), Scale(16))


class YoloV3(Network):
    """Darknet-53 and a feature pyramid with three heads; ``entrance`` is what the coarsest map passes first."""

    def __init__(self, spec: DetectorSpec, entrance: nn.Module) -> None:
        super().__init__(spec)
        self.backbone = Darknet53(in_channels=spec.input_channels)
        self.neck = FpnHeads(entrance, [self.head_channels(index) for index in range(len(spec.heads))])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw heads at strides 32, 16 and 8."""
        heads: tuple[Tensor, ...] = self.neck(*self.backbone(images))
        return heads


def yolov3(config: NetworkConfig) -> YoloV3:
    """Build the network."""
    return YoloV3(yolo_spec(config, "v3", SCALES, YOLOV3), FiveConvs(1024, 512))


def yolov3_spp(config: NetworkConfig) -> YoloV3:
    """Build the network."""
    return YoloV3(yolo_spec(config, "v3", SCALES, YOLOV3), SpatialPyramid(1024, 512))


class YoloV3Tiny(Network):
    """A tiny backbone, one wide convolution, and two heads."""

    def __init__(self, spec: DetectorSpec, width: float) -> None:
        super().__init__(spec)
        widths = [scaled(channels, width) for channels in (16, 32, 64, 128, 256, 512, 1024, 256)]
        self.backbone = TinyBackbone(widths[:6], in_channels=spec.input_channels)
        self.deepen = ConvBlock(widths[5], widths[6], 3)
        self.neck = TinyFpnHeads((widths[4], widths[6]), widths[7], [self.head_channels(index) for index in range(2)])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw heads at strides 32 and 16."""
        maps = self.backbone(images)
        heads: tuple[Tensor, ...] = self.neck(maps[4], self.deepen(maps[-1]))
        return heads


def yolov3_tiny(config: NetworkConfig, *, width: float = 1.0) -> YoloV3Tiny:
    """Build the network."""
    return YoloV3Tiny(yolo_spec(config, "v3", _TINY_SCALES, YOLOV3_TINY), width)

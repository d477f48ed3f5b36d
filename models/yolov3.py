"""YOLOv3 (Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement")."""

from __future__ import annotations

from torch import Tensor, nn

from models.anchors import YOLOV3
from models.backbones.darknet53 import Darknet53
from models.necks.blocks import FiveConvs
from models.necks.fpn import FpnHeads
from models.outline import Network, Outline, Scale, yolo_spec
from models.spec import DetectorSpec

SCALES = (Scale(32), Scale(16), Scale(8))


class YoloV3(Network):
    """Darknet-53 and a feature pyramid with three heads; ``entrance`` is what the coarsest map passes first."""

    def __init__(self, spec: DetectorSpec, entrance: nn.Module) -> None:
        super().__init__(spec)
        self.backbone = Darknet53()
        self.neck = FpnHeads(entrance, [self.head_channels(index) for index in range(len(spec.heads))])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw heads at strides 32, 16 and 8."""
        heads: tuple[Tensor, ...] = self.neck(*self.backbone(images))
        return heads


def yolov3(outline: Outline) -> YoloV3:
    """Return the network."""
    return YoloV3(yolo_spec(outline, "v3", SCALES, YOLOV3), FiveConvs(1024, 512))

"""YOLOv4-tiny (Wang et al. 2020, "Scaled-YOLOv4"; darknet cfg/yolov4-tiny.cfg)."""

from __future__ import annotations

from torch import Tensor

from models.anchors import YOLOV4_TINY, YOLOV4_TINY_3L
from models.backbones.cspdarknet_tiny import CspDarknetTiny
from models.backbones.tiny import scaled
from models.necks.tiny_fpn import TinyFpnHeads
from models.outline import DIOU_NMS, Network, Outline, Scale, yolo_spec
from models.spec import DetectorSpec

_TINY_SCALES = (Scale(32, 1.05), Scale(16, 1.05), Scale(8, 1.05))


class YoloV4Tiny(Network):
    """Three partial blocks and as many heads as the spec has, two or three."""

    def __init__(self, spec: DetectorSpec, width: float, *, spp: bool) -> None:
        super().__init__(spec)
        self.backbone = CspDarknetTiny(width)
        self._has_third_head = len(spec.heads) == len(_TINY_SCALES)
        finest, fine, coarse = self.backbone.channels
        head_channels = [self.head_channels(index) for index in range(len(spec.heads))]
        self.neck = TinyFpnHeads(
            (fine, coarse),
            scaled(256, width),
            head_channels,
            spp=spp,
            finest=finest if self._has_third_head else None,
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw heads at strides 32, 16 and, where there are three, 8."""
        finest, fine, coarse = self.backbone(images)
        heads: tuple[Tensor, ...] = self.neck(fine, coarse, finest if self._has_third_head else None)
        return heads


def yolov4_tiny(outline: Outline, *, width: float = 1.0, spp: bool = False, third_head: bool = False) -> YoloV4Tiny:
    """Return the network; the published anchors leave the smallest one to no head, own anchors are shared out.

    ``width`` multiplies channels, ``spp`` puts spatial pyramid pooling before the heads. ``third_head`` adds one at
    stride 8 for small objects, with nine anchors (darknet cfg/yolov4-tiny-3l.cfg).
    """
    scales, anchors = (_TINY_SCALES, YOLOV4_TINY_3L) if third_head else (_TINY_SCALES[:2], YOLOV4_TINY)
    return YoloV4Tiny(yolo_spec(outline, "v4", scales, anchors, nms=DIOU_NMS), width, spp=spp)

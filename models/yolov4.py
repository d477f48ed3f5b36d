"""YOLOv4 (Bochkovskiy et al. 2020), and YOLOv4-csp and -tiny (Wang et al. 2020, "Scaled-YOLOv4").

The three are darknet's cfg/yolov4.cfg, yolov4-csp.cfg (partial blocks in the neck as well) and yolov4-tiny.cfg.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from yoloscope.models.anchors import YOLOV4, YOLOV4_TINY, YOLOV4_TINY_3L
from yoloscope.models.backbones.cspdarknet import CspDarknet53, CspDarknetTiny
from yoloscope.models.backbones.darknet import Darknet53, scaled
from yoloscope.models.layers.csp import CspPlainBlock
from yoloscope.models.necks.blocks import CspSpatialPyramid, FiveConvs, SpatialPyramid
from yoloscope.models.necks.fpn import FpnHeads, TinyFpnHeads
from yoloscope.models.necks.pan import PanHeads
from yoloscope.models.network import DIOU_NMS, Network, NetworkConfig, Scale, yolo_spec
from yoloscope.models.spec import DetectorSpec, ResizeSpec

SCALES = (Scale(8, 1.2), Scale(16, 1.1), Scale(32, 1.05))
_CSP_SCALES = (Scale(8, 2.0), Scale(16, 2.0), Scale(32, 2.0))
_TINY_SCALES = (Scale(32, 1.05), Scale(16, 1.05), Scale(8, 1.05))


class YoloV4(Network):
    """A backbone with maps at three strides and a neck with three heads."""

    def __init__(self, spec: DetectorSpec, backbone: nn.Module, neck: nn.Module) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.neck = neck

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw heads in the order of the spec."""
        heads: tuple[Tensor, ...] = self.neck(*self.backbone(images))
        return heads


def yolov4(  # noqa: PLR0913 - the switches of the network
    config: NetworkConfig,
    *,
    backbone_activation: str = "mish",
    neck_activation: str = "leaky",
    csp: bool = True,
    spp: bool = True,
    pan: bool = True,
    sam: bool = False,
    weighted_residuals: bool = False,
    dropblock: float = 0.0,
    width: float = 1.0,
    depth: float = 1.0,
) -> YoloV4:
    """Return the network; the defaults are darknet's yolov4.cfg, which leaves some of the paper's specials out.

    Without ``csp`` the backbone is Darknet-53, without ``pan`` the neck YOLOv3's pyramid, whose heads go from coarse to
    fine. ``sam`` puts attention before each prediction, ``weighted_residuals`` learns the shares of the residual sums
    (MiWRC), ``dropblock`` is the probability of dropping squares of coarse maps in training. ``width`` and ``depth``
    multiply channels and residual blocks.
    """
    scales = SCALES if pan else SCALES[::-1]
    spec = yolo_spec(config, "v4", scales, YOLOV4, nms=DIOU_NMS)
    backbone = (CspDarknet53 if csp else Darknet53)(
        activation=backbone_activation,
        weighted_residuals=weighted_residuals,
        dropblock=dropblock,
        width=width,
        depth=depth,
        in_channels=spec.input_channels,
    )
    enter = SpatialPyramid if spp else FiveConvs
    entrance = enter(scaled(1024, width), scaled(512, width), activation=neck_activation)
    head_channels = [head.num_channels(spec.num_classes) for head in spec.heads]
    options: dict[str, Any] = {"activation": neck_activation, "sam": sam, "dropblock": dropblock, "width": width}
    block = partial(FiveConvs, activation=neck_activation)
    neck = PanHeads(entrance, block, head_channels, **options) if pan else FpnHeads(entrance, head_channels, **options)
    return YoloV4(spec, backbone, neck)


def yolov4_csp(config: NetworkConfig) -> YoloV4:
    """Return the network; its boxes are in new coordinates and its images letterboxed, as in the cfg."""
    spec = yolo_spec(
        config, "v4", _CSP_SCALES, YOLOV4, nms=DIOU_NMS, resize=ResizeSpec(placement="letterbox"), new_coords=True
    )
    neck = PanHeads(
        CspSpatialPyramid(1024, 512),
        CspPlainBlock,
        [head.num_channels(spec.num_classes) for head in spec.heads],
        activation="mish",
    )
    return YoloV4(spec, CspDarknet53(partial_first=False, in_channels=spec.input_channels), neck)


class YoloV4Tiny(Network):
    """Three partial blocks and as many heads as the spec has, two or three."""

    def __init__(self, spec: DetectorSpec, width: float, *, spp: bool) -> None:
        super().__init__(spec)
        self.backbone = CspDarknetTiny(width, in_channels=spec.input_channels)
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


def yolov4_tiny(
    config: NetworkConfig, *, width: float = 1.0, spp: bool = False, third_head: bool = False
) -> YoloV4Tiny:
    """Return the network; the published anchors leave the smallest one to no head, own anchors are shared out.

    ``width`` multiplies channels, ``spp`` puts spatial pyramid pooling before the heads. ``third_head`` adds one at
    stride 8 for small objects, with nine anchors (darknet cfg/yolov4-tiny-3l.cfg).
    """
    scales, anchors = (_TINY_SCALES, YOLOV4_TINY_3L) if third_head else (_TINY_SCALES[:2], YOLOV4_TINY)
    return YoloV4Tiny(yolo_spec(config, "v4", scales, anchors, nms=DIOU_NMS), width, spp=spp)

"""YOLOv4 (Bochkovskiy et al. 2020, "YOLOv4: Optimal Speed and Accuracy of Object Detection")."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from models.anchors import YOLOV4
from models.backbones.cspdarknet53 import CspDarknet53
from models.backbones.darknet53 import Darknet53
from models.backbones.tiny import scaled
from models.necks.blocks import FiveConvs, SpatialPyramid
from models.necks.fpn import FpnHeads
from models.necks.pan import PanHeads
from models.outline import DIOU_NMS, Network, Outline, Scale, yolo_spec
from models.spec import DetectorSpec

SCALES = (Scale(8, 1.2), Scale(16, 1.1), Scale(32, 1.05))


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
    outline: Outline,
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
    spec = yolo_spec(outline, "v4", scales, YOLOV4, nms=DIOU_NMS)
    backbone = (CspDarknet53 if csp else Darknet53)(
        activation=backbone_activation,
        weighted_residuals=weighted_residuals,
        dropblock=dropblock,
        width=width,
        depth=depth,
    )
    enter = SpatialPyramid if spp else FiveConvs
    entrance = enter(scaled(1024, width), scaled(512, width), activation=neck_activation)
    head_channels = [head.num_channels(spec.num_classes) for head in spec.heads]
    options: dict[str, Any] = {"activation": neck_activation, "sam": sam, "dropblock": dropblock, "width": width}
    block = partial(FiveConvs, activation=neck_activation)
    neck = PanHeads(entrance, block, head_channels, **options) if pan else FpnHeads(entrance, head_channels, **options)
    return YoloV4(spec, backbone, neck)

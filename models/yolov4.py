"""YOLOv4 (Bochkovskiy et al. 2020, "YOLOv4: Optimal Speed and Accuracy of Object Detection")."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from models.anchors import YOLOV4
from models.backbones.cspdarknet53 import CspDarknet53
from models.necks.blocks import FiveConvs, SpatialPyramid
from models.necks.pan import PanHeads
from models.outline import DIOU_NMS, Network, Outline, Scale, yolo_spec
from models.spec import DetectorSpec

_SCALES = (Scale(8, 1.2), Scale(16, 1.1), Scale(32, 1.05))


class YoloV4(Network):
    """CSPDarknet53 and a path aggregation neck with three heads."""

    def __init__(self, spec: DetectorSpec, backbone: CspDarknet53, neck: PanHeads) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.neck = neck

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw heads at strides 8, 16 and 32."""
        heads: tuple[Tensor, ...] = self.neck(*self.backbone(images))
        return heads


def build(
    outline: Outline,
    *,
    backbone_activation: str = "mish",
    neck_activation: str = "leaky",
    spp: bool = True,
    sam: bool = False,
    weighted_residuals: bool = False,
    dropblock: float = 0.0,
) -> YoloV4:
    """Return the network; the defaults are darknet's yolov4.cfg, which leaves some of the paper's specials out.

    ``sam`` puts attention before each prediction, ``weighted_residuals`` learns the shares of the residual sums
    (MiWRC), ``dropblock`` is the probability of dropping squares of coarse maps in training.
    """
    spec = yolo_spec(outline, "v4", _SCALES, YOLOV4, nms=DIOU_NMS)
    backbone = CspDarknet53(activation=backbone_activation, weighted_residuals=weighted_residuals, dropblock=dropblock)
    entrance: type[nn.Module] = SpatialPyramid if spp else FiveConvs
    neck = PanHeads(
        entrance(1024, 512, activation=neck_activation),
        partial(FiveConvs, activation=neck_activation),
        [head.num_channels(spec.num_classes) for head in spec.heads],
        activation=neck_activation,
        sam=sam,
        dropblock=dropblock,
    )
    return YoloV4(spec, backbone, neck)

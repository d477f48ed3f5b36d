"""YOLOv4-csp (Wang et al. 2020, "Scaled-YOLOv4"; darknet cfg/yolov4-csp.cfg): partial blocks in the neck as well."""

from __future__ import annotations

from models.anchors import YOLOV4
from models.backbones.cspdarknet53 import CspDarknet53
from models.layers.csp import CspPlainBlock
from models.necks.blocks import CspSpatialPyramid
from models.necks.pan import PanHeads
from models.outline import DIOU_NMS, Outline, Scale, yolo_spec
from models.spec import ResizeSpec
from models.yolov4 import YoloV4

_CSP_SCALES = (Scale(8, 2.0), Scale(16, 2.0), Scale(32, 2.0))


def yolov4_csp(outline: Outline) -> YoloV4:
    """Return the network; its boxes are in new coordinates and its pictures letterboxed, as in the cfg."""
    spec = yolo_spec(
        outline, "v4", _CSP_SCALES, YOLOV4, nms=DIOU_NMS, resize=ResizeSpec(placement="letterbox"), new_coords=True
    )
    neck = PanHeads(
        CspSpatialPyramid(1024, 512),
        CspPlainBlock,
        [head.num_channels(spec.num_classes) for head in spec.heads],
        activation="mish",
    )
    return YoloV4(spec, CspDarknet53(partial_first=False), neck)

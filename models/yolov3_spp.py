"""YOLOv3-spp: YOLOv3 with spatial pyramid pooling before its coarsest head (darknet cfg/yolov3-spp.cfg)."""

from __future__ import annotations

from models.anchors import YOLOV3
from models.necks.blocks import SpatialPyramid
from models.outline import Outline, yolo_spec
from models.yolov3 import SCALES, YoloV3


def yolov3_spp(outline: Outline) -> YoloV3:
    """Return the network."""
    return YoloV3(yolo_spec(outline, "v3", SCALES, YOLOV3), SpatialPyramid(1024, 512))

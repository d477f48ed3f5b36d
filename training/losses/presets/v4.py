"""YOLOv4 loss: CIoU of boxes, binary cross-entropy of objectness and classes.

    weights.box * sum over positives of 1 - IoU + d^2 / c^2 + alpha v
    + weights.objectness * sum over positives of BCE(1, C)
    + weights.no_objectness * sum of BCE(0, C) over predictors neither positive nor ignored (MaxIoU > ignore_threshold)
    + weights.classification * sum over positives of sum over classes of BCE(p^(c), p(c))

divided by the images of the batch. Positives (``match``: anchors_above): the best anchor of all scales in the object's
cell, and every other one there whose shape overlaps the object by more than ``match_threshold``. Objects that share a
predictor are averaged (``collision``: mean). d is the distance of the centers, c the diagonal of the enclosing box,
v = 4/pi^2 (atan w^/h^ - atan w/h)^2 and alpha = v / (1 - IoU + v), a constant for the gradient. ``box_loss`` names a
function of ``iou_losses.py`` or another.

Source: Bochkovskiy et al., YOLOv4, 2020 (https://arxiv.org/abs/2004.10934), section 3.4.
"""

from __future__ import annotations

from yoloscope.training.losses.darknet.yolo import YoloPreset
from yoloscope.training.losses.presets.formula import FormulaPreset, Weights

V4 = FormulaPreset(
    name="v4",
    source="Bochkovskiy et al., YOLOv4, 2020 (https://arxiv.org/abs/2004.10934): 1 - CIoU, BCE for objectness and "
    "classes; the best anchor and every other above iou_thresh 0.213, ignore 0.7 (yolov4.cfg). lambda_coord 5, "
    "the weight of v1: darknet's 0.07 multiplies deltas without the chain rule and corresponds to 5 to 18 on x "
    "and y. Objects that share a predictor are averaged.",
    weights=Weights(box=5.0),
)
V4_DARKNET = YoloPreset(
    name="v4-darknet",
    source="AlexeyAB/darknet src/yolo_layer.c and src/box.c (dx_box_iou); yolov4.cfg. Not the gradient of any loss: "
    "the chain rule from the box to x, y is left out",
    ignore_thresh=0.7,
    iou_thresh=0.213,
    iou_loss="ciou",
    iou_normalizer=0.07,
    max_delta=5.0,
)

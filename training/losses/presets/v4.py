"""YOLOv4 loss: CIoU for boxes, binary cross-entropy for objectness and classes; and the other IoU losses.

    lambda_coord * sum over responsible predictors of 1 - IoU + d^2 / c^2 + alpha v
    + sum over responsible predictors of BCE(1, C)
    + sum over predictors that are neither responsible nor ignored of BCE(0, C)
    + sum over responsible predictors of sum over classes of BCE(p^(c), p(c))

d is the distance of the centers, c the diagonal of the enclosing box, v = 4/pi^2 (atan w^/h^ - atan w/h)^2 and alpha =
v / (1 - IoU + v). The best anchor and every other above IoU 0.213 are responsible. Source: Bochkovskiy et al., YOLOv4,
2020; Zheng et al., Distance-IoU Loss, 2020; Rezatofighi et al., Generalized IoU, 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor

from yoloscope.models import boxes
from yoloscope.training.losses.darknet.yolo import YoloPreset
from yoloscope.training.losses.presets.formula import FormulaPreset, Weights
from yoloscope.training.losses.terms import BoxPairs, box_loss


@box_loss
def ciou(pairs: BoxPairs, *, alpha_gate: bool = False) -> dict[str, Tensor]:
    """Return 1 - CIoU as ``overlap``, ``distance`` and ``aspect``; ``alpha_gate``: alpha is 0 up to an IoU of 0.5."""
    measured = boxes.paired_ciou_parts(*_corners(pairs))
    gate = (measured.iou > 0.5) if alpha_gate else torch.ones_like(measured.iou, dtype=torch.bool)
    return {"overlap": 1 - measured.iou, "distance": measured.distance, "aspect": measured.aspect * gate}


@box_loss
def diou(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return 1 - DIoU as ``overlap`` and ``distance``."""
    measured = boxes.paired_ciou_parts(*_corners(pairs))
    return {"overlap": 1 - measured.iou, "distance": measured.distance}


@box_loss
def giou(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return 1 - GIoU as ``overlap`` and ``enclosure``."""
    predicted, target = _corners(pairs)
    overlap = boxes.paired_iou(predicted, target)
    return {"overlap": 1 - overlap, "enclosure": overlap - boxes.paired_giou(predicted, target)}


@box_loss
def iou(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return 1 - IoU as ``overlap``."""
    return {"overlap": 1 - boxes.paired_iou(*_corners(pairs))}


def _corners(pairs: BoxPairs) -> tuple[Tensor, Tensor]:
    return boxes.cxcywh_to_xyxy(pairs.predicted_cxcywh), boxes.cxcywh_to_xyxy(pairs.target_cxcywh)


V4 = FormulaPreset(
    name="v4",
    source="document 000, YOLOv4: 1 - CIoU, BCE for objectness and classes; the best anchor and every other "
    "above iou_thresh 0.213, ignore 0.7 (yolov4.cfg). lambda_coord 5, the weight of document 000's v1: darknet's 0.07 "
    "multiplies deltas without the chain rule and corresponds to 5 to 18 on x and y. Objects that share a predictor "
    "are averaged.",
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

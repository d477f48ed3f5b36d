"""YOLOv1 loss: squared errors of centers, roots of extents, confidence and classes.

    weights.xy * sum over positives of (x - x^)^2 + (y - y^)^2
    + weights.wh * sum over positives of (sqrt w - sqrt w^)^2 + (sqrt h - sqrt h^)^2
    + weights.objectness * sum over positives of (C - IoU)^2
    + weights.no_objectness * sum over all other predictors of C^2
    + weights.classification * sum over cells with an object of sum over classes of (p(c) - p^(c))^2

divided by the images of the batch; lambda_coord of the paper is ``weights.xy`` and ``weights.wh``, lambda_noobj
``weights.no_objectness``. The positive of a cell with an object (``match``: cell_best_iou) is its predictor of the
highest IoU at this moment; a cell holds one object, the first labeled one (``collision``: first), others there are not
learned. x and y are in cells, w and h fractions of the image; IoU, that of the predicted box, is a constant for the
gradient (``objectness_target``: iou). Nothing is ignored (``ignore_threshold`` None).

Source: Redmon et al., You Only Look Once, 2016 (https://arxiv.org/abs/1506.02640), equation 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from yoloscope.training.losses.darknet.detection import DetectionPreset
from yoloscope.training.losses.presets.formula import FormulaPreset, Weights
from yoloscope.training.losses.terms import BoxPairs, box_loss

SQRT_FLOOR = 1e-12


@box_loss
def mse_sqrt(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return squared errors of the center in its cell and of the roots of width and height: the box term of YOLOv1."""
    predicted = pairs.predicted_cxcywh[:, 2:]
    if pairs.extent == "squared":
        root = pairs.logits[:, 2:]
    else:
        root = signed_sqrt(predicted) if pairs.extent == "linear" else predicted.clamp_min(SQRT_FLOOR).sqrt()
    return {
        "centre": (pairs.predicted_offset - pairs.target_offset).square().sum(-1),
        "size": (root - pairs.target_cxcywh[:, 2:].sqrt()).square().sum(-1),
    }


def signed_sqrt(x: Tensor) -> Tensor:
    """Return sign(x) * sqrt(|x|) with a finite gradient everywhere; 0 at 0."""
    return torch.sign(x) * x.abs().clamp_min(SQRT_FLOOR).sqrt()


V1 = FormulaPreset(
    name="v1",
    source="Redmon et al., You Only Look Once, 2016 (https://arxiv.org/abs/1506.02640): x, y, w, h, C logistic, p "
    "softmax; squared errors, roots of w and h, lambda_coord 5, lambda_noobj 0.5. C aims at the current IoU, a "
    "constant for the gradient. One object per cell: the first labeled one.",
    decode_xy="sigmoid",
    decode_wh="sigmoid",
    class_activation="softmax",
    match="cell_best_iou",
    collision="first",
    ignore_threshold=None,
    objectness_target="iou",
    objectness_loss="mse",
    box_loss="mse_sqrt",
    class_loss="mse",
    weights=Weights(xy=5.0, wh=5.0, objectness=1.0, no_objectness=0.5, classification=1.0),
)
V1_DARKNET = DetectionPreset(
    name="v1-darknet",
    source="AlexeyAB/darknet src/detection_layer.c, forward_detection_layer; scales of cfg/yolov1/yolo.cfg",
    noobject_scale=0.5,
    coord_scale=5.0,
    rescore=True,
)

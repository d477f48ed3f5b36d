"""YOLOv2 loss: squared errors of centers and extents by matched anchor, with the ignore rule for background.

    sum over positives of (2 - w^ h^)
        {weights.xy * [(x - x^)^2 + (y - y^)^2] + weights.wh * [(w - w^)^2 + (h - h^)^2]}
    + weights.objectness * sum over positives of (C - IoU)^2
    + weights.no_objectness * sum of C^2 over predictors neither positive nor ignored (MaxIoU > ignore_threshold)
    + weights.classification * sum over positives of sum over classes of (p(c) - p^(c))^2
    + weights.prior * sum over the other predictors of their distance from the anchor, until ``prior_images`` are seen

divided by the images of the batch. The positive of an object (``match``: best_anchor_per_head) is the anchor of the
best shape in its cell; where objects meet on it, the last one stays (``collision``: last). x and y are in cells, w and
h fractions of the image. The factor 2 - w^ h^ is ``box_size_weight``; IoU, that of the predicted box, is a constant for
the gradient (``objectness_target``: iou). ``v2`` has no early phase (``prior_images`` 0), ``v2-darknet`` one.

Sources: Redmon and Farhadi, YOLO9000, 2017 (https://arxiv.org/abs/1612.08242); darknet src/region_layer.c.
"""

from __future__ import annotations

from torch import Tensor

from yoloscope.training.losses.darknet.region import RegionPreset
from yoloscope.training.losses.presets.formula import FormulaPreset, Weights
from yoloscope.training.losses.terms import BoxPairs, box_loss


@box_loss
def mse(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return squared errors of the center in its cell, in cells, and of width and height as fractions: YOLOv2."""
    return {
        "centre": (pairs.predicted_offset - pairs.target_offset).square().sum(-1),
        "size": (pairs.predicted_cxcywh[:, 2:] - pairs.target_cxcywh[:, 2:]).square().sum(-1),
    }


V2 = FormulaPreset(
    name="v2",
    source="Redmon and Farhadi, YOLO9000, 2017 (https://arxiv.org/abs/1612.08242): squared errors of x, y (in cells) "
    "and w, h (as fractions, the unit that 2 - w*h needs), p softmax; 1^noobj leaves out predictors with MaxIoU "
    "above 0.6 (darknet thresh). lambda_obj 5, the others 1 (yolov2-voc.cfg).",
    decode_xy="sigmoid",
    decode_wh="exp",
    class_activation="softmax",
    match="best_anchor_per_head",
    collision="last",
    ignore_threshold=0.6,
    objectness_target="iou",
    objectness_loss="mse",
    box_loss="mse",
    box_size_weight=True,
    class_loss="mse",
    weights=Weights(xy=1.0, wh=1.0, objectness=5.0, no_objectness=1.0, classification=1.0),
)
V2_DARKNET = RegionPreset(
    name="v2-darknet",
    source="AlexeyAB/darknet src/region_layer.c, forward_region_layer; scales of cfg/yolov2-voc.cfg. An object without "
    "area, which darknet writes to predictor 0 of image 0, is lost",
    object_scale=5.0,
    thresh=0.6,
    bias_match=True,
    rescore=True,
)
V2_PJREDDIE = V2_DARKNET.replace(
    name="v2-pjreddie",
    source="pjreddie/darknet src/region_layer.c: box deltas times 2 - w*h, no logistic derivative",
    size_weight=True,
    chain_rule=False,
)

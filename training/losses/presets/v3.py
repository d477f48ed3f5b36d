"""YOLOv3 loss: squared errors of the boxes' logits, binary cross-entropy of objectness and classes.

    sum over gated positives of (2 - w^ h^)
        {weights.xy * [(tx - tx^)^2 + (ty - ty^)^2] + weights.wh * [(tw - tw^)^2 + (th - th^)^2]}
    + weights.objectness * sum over positives of BCE(1, C)
    + weights.no_objectness * sum of BCE(0, C) over predictors neither positive nor ignored (MaxIoU > ignore_threshold)
    + weights.classification * sum over positives of sum over classes of BCE(p^(c), p(c))

divided by the images of the batch. The positive of an object (``match``: best_anchor) is the anchor of the best shape
among all scales, in the object's cell; where objects meet on it, the last one stays (``collision``: last). Gated
positives are those whose anchor's shape overlaps the object by more than ``box_iou_gate``: others pay no box term. The
factor 2 - w^ h^ is ``box_size_weight``. tx^ = logit(x^ - cell) and tw^ = log(w^ / anchor) would decode to the object
(``box_loss``: mse_logits).

Source: Redmon and Farhadi, YOLOv3, 2018 (https://arxiv.org/abs/1804.02767), sections 2.1 and 2.2.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from yoloscope.training.losses.darknet.yolo import YoloPreset
from yoloscope.training.losses.presets.formula import FormulaPreset
from yoloscope.training.losses.terms import BoxPairs, box_loss, center_logits, extent_logits


@box_loss(compares="logits")
def mse_logits(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return squared errors of the logits against those that decode to the object: YOLOv3."""
    return {
        "centre": (pairs.logits[:, :2] - center_logits(pairs.target_offset, pairs.scale_xy)).square().sum(-1),
        "size": (pairs.logits[:, 2:] - _wh_logits(pairs)).square().sum(-1),
    }


@box_loss(compares="logits")
def l1_logits(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return absolute errors of the logits against those that decode to the object."""
    return {
        "centre": (pairs.logits[:, :2] - center_logits(pairs.target_offset, pairs.scale_xy)).abs().sum(-1),
        "size": (pairs.logits[:, 2:] - _wh_logits(pairs)).abs().sum(-1),
    }


@box_loss(compares="logits")
def bce_xy_mse_wh(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return cross-entropy of the center's logits against its offset, and half the squared errors of the extents'."""
    center = functional.binary_cross_entropy_with_logits(pairs.logits[:, :2], pairs.target_offset, reduction="none")
    return {
        "centre": center.sum(-1),
        "size": (pairs.logits[:, 2:] - _wh_logits(pairs)).square().sum(-1) / 2,
    }


def _wh_logits(pairs: BoxPairs) -> Tensor:
    return extent_logits(pairs.target_cxcywh[:, 2:], pairs.anchors, pairs.extent)


V3 = FormulaPreset(
    name="v3",
    source="Redmon and Farhadi, YOLOv3, 2018 (https://arxiv.org/abs/1804.02767): squared errors on t, gated by "
    "IoU(anchor, truth) > 0.5 and weighted by 2 - w*h; BCE for objectness and classes; predictions with MaxIoU "
    "above 0.5 are ignored. All lambdas 1. Targets for t are held within +-8, because a center on a cell's border"
    " has none.",
    decode_xy="sigmoid",
    match="best_anchor",
    collision="last",
    ignore_threshold=0.5,
    box_loss="mse_logits",
    box_size_weight=True,
    box_iou_gate=0.5,
)
V3_DARKNET = YoloPreset(
    name="v3-darknet",
    source="AlexeyAB/darknet src/yolo_layer.c, process_batch; yolov3.cfg with the parser's iou_normalizer of 0.75",
    ignore_thresh=0.7,
)
V3_PJREDDIE = YoloPreset(
    name="v3-pjreddie",
    source="pjreddie/darknet src/yolo_layer.c: no class gate, iou_normalizer 1, the last object on a predictor stays",
    ignore_thresh=0.7,
    iou_normalizer=1.0,
    accumulate=False,
    class_gate=None,
)

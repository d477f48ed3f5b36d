"""YOLOv3 loss: squared errors on the logits of boxes, binary cross-entropy for objectness and classes.

    lambda_coord * sum over responsible predictors of
        (2 - w^ h^) [(tx - tx^)^2 + (ty - ty^)^2 + (tw - tw^)^2 + (th - th^)^2]
    + lambda_obj * sum over responsible predictors of BCE(1, C)
    + lambda_noobj * sum over predictors that are neither responsible nor ignored of BCE(0, C)
    + lambda_class * sum over responsible predictors of sum over classes of BCE(p^(c), p(c))

tx^ = logit(x^ - cell), tw^ = log(w^ / anchor). The responsible predictor is the best anchor of all scales; one whose
MaxIoU exceeds the ignore threshold pays nothing. Source: Redmon and Farhadi, YOLOv3, 2018, sections 2.1 and 2.2.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from yoloscope.training.losses.darknet.yolo import YoloPreset
from yoloscope.training.losses.presets.formula import FormulaPreset
from yoloscope.training.losses.terms import BoxPairs, box_loss, center_logits, extent_logits


@box_loss
def mse_logits(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return squared errors of the logits against those that decode to the object: YOLOv3."""
    return {
        "centre": (pairs.logits[:, :2] - center_logits(pairs.target_offset, pairs.scale_xy)).square().sum(-1),
        "size": (pairs.logits[:, 2:] - _wh_logits(pairs)).square().sum(-1),
    }


@box_loss
def l1_logits(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return absolute errors of the logits against those that decode to the object."""
    return {
        "centre": (pairs.logits[:, :2] - center_logits(pairs.target_offset, pairs.scale_xy)).abs().sum(-1),
        "size": (pairs.logits[:, 2:] - _wh_logits(pairs)).abs().sum(-1),
    }


@box_loss
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
    source="document 000, YOLOv3: squared errors on t, gated by IoU(anchor, truth) > 0.5 and weighted by "
    "2 - w*h; BCE for objectness and classes; predictions with MaxIoU above 0.5 are ignored. All lambdas 1. Targets "
    "for t are held within +-8, because a center on a cell's border has none.",
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

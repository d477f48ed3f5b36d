"""The keys of heads that describe the loss, carried into LossSpec under their darknet names."""

from __future__ import annotations

from collections.abc import Mapping

from models.darknet.options import Options

NUMBER, NAME = "number", "name"

_IOU = {
    "iou_loss": NAME,
    "iou_normalizer": NUMBER,
    "iou_thresh": NUMBER,
    "iou_thresh_kind": NAME,
    "ignore_thresh": NUMBER,
    "truth_thresh": NUMBER,
    "cls_normalizer": NUMBER,
    "delta_normalizer": NUMBER,
    "obj_normalizer": NUMBER,
    "max_delta": NUMBER,
    "objectness_smooth": NUMBER,
    "label_smooth_eps": NUMBER,
    "focal_loss": NUMBER,
    "uc_normalizer": NUMBER,
    "beta1": NUMBER,
}
_SCALES = {
    "object_scale": NUMBER,
    "noobject_scale": NUMBER,
    "class_scale": NUMBER,
    "coord_scale": NUMBER,
    "rescore": NUMBER,
}

LOSS_KEYS: Mapping[str, Mapping[str, str]] = {
    "yolo": _IOU,
    "gaussian_yolo": _IOU,
    "region": {
        **_SCALES,
        "mask_scale": NUMBER,
        "thresh": NUMBER,
        "bias_match": NUMBER,
        "classfix": NUMBER,
        "focal_loss": NUMBER,
    },
    "detection": {**_SCALES, "forced": NUMBER, "random": NUMBER},
}


def loss_options(options: Options, kind: str) -> dict[str, object]:
    """Return the loss keys that the section gives."""
    return {
        key: options.number(key, 0.0) if form == NUMBER else options.text(key, "")
        for key, form in LOSS_KEYS[kind].items()
        if options.has(key)
    }

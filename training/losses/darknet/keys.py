"""Darknet's cfg keys and the preset keys that they become.

Only keys of the [yolo], [region] and [detection] sections that change the gradient stand here; what a cfg says of
decoding (``scale_x_y``, ``new_coords``, anchors) lives in the head's spec, augmentation and suppression elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yoloscope.models.errors import PresetError

_FLAGS = {"rescore", "bias_match", "softmax", "forced", "sqrt", "random", "focal_loss", "objectness_smooth"}
_TRANSLATED = {
    "yolo": {
        "ignore_thresh": "ignore_thresh",
        "truth_thresh": "truth_thresh",
        "iou_thresh": "iou_thresh",
        "iou_thresh_kind": "iou_thresh_kind",
        "iou_loss": "iou_loss",
        "iou_normalizer": "iou_normalizer",
        "obj_normalizer": "obj_normalizer",
        "cls_normalizer": "cls_normalizer",
        "max_delta": "max_delta",
        "label_smooth_eps": "label_smooth_eps",
        "focal_loss": "focal_loss",
        "objectness_smooth": "objectness_smooth",
        "show_details": "show_details",
    },
    "region": {
        "object_scale": "object_scale",
        "noobject_scale": "noobject_scale",
        "class_scale": "class_scale",
        "coord_scale": "coord_scale",
        "thresh": "thresh",
        "bias_match": "bias_match",
        "rescore": "rescore",
        "softmax": "softmax",
        "classfix": "classfix",
        "focal_loss": "focal_loss",
    },
    "detection": {
        "object_scale": "object_scale",
        "noobject_scale": "noobject_scale",
        "class_scale": "class_scale",
        "coord_scale": "coord_scale",
        "rescore": "rescore",
        "softmax": "softmax",
        "sqrt": "sqrt",
        "forced": "forced",
        "random": "random",
    },
}
_REFUSED = {
    "counters_per_class": "class multipliers are not part of darknet's reference vectors",
    "map": "class maps are not supported",
    "tree": "hierarchical classes have no loss preset",
}


def translate(kind: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return preset keys for darknet cfg keys of one layer kind; raise PresetError for a key that it does not have.

    Values may be numbers, cfg texts or sequences with one value per head.
    """
    known = _TRANSLATED[kind]
    translated: dict[str, Any] = {}
    for key, value in overrides.items():
        if key in _REFUSED:
            raise PresetError(f"darknet key {key!r} is refused: {_REFUSED[key]}")
        if key not in known:
            raise PresetError(f"unknown darknet key {key!r} for [{kind}]; known keys: {', '.join(sorted(known))}")
        translated[known[key]] = _value(key, value)
    return translated


def _value(key: str, value: object) -> object:
    if isinstance(value, list | tuple):
        values = [_value(key, item) for item in value]
        return values[0] if len(set(values)) == 1 else tuple(values)
    if key in _FLAGS:
        return bool(int(float(str(value)))) if not isinstance(value, bool) else value
    return value

"""The keys of heads that describe the loss, with the defaults of darknet's parser (src/parser.c).

They are carried into LossSpec under their darknet names, absent ones too: the loss presets have other defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from models.darknet.options import Options
from models.darknet.plan import HeadPlan

LossValue = float | int | str | None

_OVERLAPS = ("iou", "giou", "diou", "ciou")
_CHOICES = {"iou_loss": ("mse", *_OVERLAPS), "iou_thresh_kind": _OVERLAPS}
_SCALES: dict[str, LossValue] = {
    "object_scale": 1.0,
    "noobject_scale": 1.0,
    "class_scale": 1.0,
    "coord_scale": 1.0,
    "rescore": 0,
}

LOSS_KEYS: Mapping[str, Mapping[str, LossValue]] = MappingProxyType(
    {
        "yolo": {
            "ignore_thresh": 0.5,
            "truth_thresh": 1.0,
            "iou_thresh": 1.0,
            "iou_thresh_kind": "iou",
            "iou_loss": "mse",
            "iou_normalizer": 0.75,
            "obj_normalizer": 1.0,
            "cls_normalizer": 1.0,
            "max_delta": None,
            "label_smooth_eps": 0.0,
            "focal_loss": 0,
            "objectness_smooth": 0,
        },
        "gaussian_yolo": {},
        "region": {**_SCALES, "thresh": 0.5, "bias_match": 0, "classfix": 0, "focal_loss": 0},
        "detection": {**_SCALES, "forced": 0, "random": 0},
    }
)


def loss_options(options: Options, kind: str) -> dict[str, LossValue]:
    """Return the loss keys of a head, given or default."""
    return {key: _value(options, key, default) for key, default in LOSS_KEYS[kind].items()}


def _value(options: Options, key: str, default: LossValue) -> LossValue:
    if not options.has(key):
        return default
    if isinstance(default, int):
        return options.integer(key, default)
    if not isinstance(default, str):
        return options.number(key, 0.0)
    text = options.text(key, default)
    if text not in _CHOICES[key]:
        options.fail(key, f"expected one of {', '.join(_CHOICES[key])}, got {text!r}")
    return text


def loss_by_head(plans: Sequence[HeadPlan]) -> dict[str, object]:
    """Return the loss keys of all heads: one value where they agree, else a tuple with one value per head."""
    keys = dict.fromkeys(key for plan in plans for key in plan.loss)
    return {key: _merged([plan.loss.get(key) for plan in plans]) for key in keys}


def _merged(values: list[object]) -> object:
    return values[0] if all(value == values[0] for value in values) else tuple(values)

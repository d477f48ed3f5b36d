"""Darknet's training rules as presets, under darknet's own key names.

Facts of AlexeyAB/darknet at commit 59596d78: src/yolo_layer.c, src/region_layer.c, src/detection_layer.c and the
defaults of src/parser.c. Only keys that change the gradient stand here; decoding (``scale_x_y``, ``new_coords``,
anchors) is the head's. Values that a cfg may set layer by layer can be one number, or one per head.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from yoloscope.models.errors import PresetError
from yoloscope.training.assignment.grid import HeadGeometry
from yoloscope.training.losses.darknet.deltas import DarknetState, HeadDelta, delta_costs, inject_gradient
from yoloscope.training.losses.preset import BatchCosts, LossInputs, LossPreset

Overlap = Literal["iou", "giou", "diou", "ciou"]
IouLoss = Literal["mse", "iou", "giou", "diou", "ciou"]
PerHead = float | tuple[float, ...]
_FLAGS = {"rescore", "bias_match", "softmax", "forced", "sqrt", "random", "focal_loss", "objectness_smooth"}
_REFUSED = {
    "counters_per_class": "class multipliers are not part of darknet's reference vectors",
    "map": "class maps are not supported",
    "tree": "hierarchical classes have no loss preset",
}


class DarknetPreset(LossPreset):
    """Base of the presets whose gradient is darknet's ``delta`` rather than the derivative of their value.

    The gradient of the total with respect to a raw head is minus ``delta``, over the number of images. The value is
    the sum of squared deltas, which is what darknet prints for v1, v2 and v3: it is not the integral of the gradient,
    and weighs a term by the square of its scale.
    """

    kind: ClassVar[str] = ""
    own_keys: ClassVar[frozenset[str]] = frozenset({"name", "source", "version"})
    """Keys that no cfg has."""

    @property
    def head_kinds(self) -> frozenset[str]:
        """Kinds of head that the preset scores."""
        return frozenset({self.kind})

    @abstractmethod
    def delta(self, head: Tensor, geometry: HeadGeometry, inputs: LossInputs) -> HeadDelta:
        """Return darknet's deltas of one raw head, off the graph; per-head keys are reduced already."""

    def costs(self, inputs: LossInputs) -> BatchCosts:
        """Return the squared deltas as costs, whose gradient is minus delta, and darknet's own variables."""
        count = len(inputs.heads)
        with torch.no_grad():
            results = [
                self.at_head(geometry.index, count).delta(head.detach(), geometry, inputs)
                for head, geometry in zip(inputs.heads, inputs.geometries, strict=True)
            ]
            heads = tuple(delta_costs(result) for result in results)
            values = torch.stack([head.by_image() for head in heads])
            corner = torch.zeros_like(values)
            corner[:, 0, 0] = 1
        injected = [inject_gradient(head, r.state.delta) for head, r in zip(inputs.heads, results, strict=True)]
        table = values + corner * torch.stack(injected).to(values)[:, None, None]
        return BatchCosts(heads, table, DarknetState(tuple(result.state for result in results)))

    def with_overrides(self, overrides: Mapping[str, Any]) -> Self:
        """Return the preset with keys of a darknet cfg section, as numbers, cfg texts or one value per head.

        Raises PresetError for a key that the section does not have.
        """
        known = sorted(type(self).model_fields.keys() - self.own_keys)
        for key in overrides:
            if key in _REFUSED:
                raise PresetError(f"darknet key {key!r} is refused: {_REFUSED[key]}")
            if key not in known:
                raise PresetError(f"unknown darknet key {key!r} for [{self.kind}]; known keys: {', '.join(known)}")
        return self.replace(**{key: _cfg_value(key, value) for key, value in overrides.items()})

    def at_head(self, index: int, num_heads: int) -> Self:
        """Return the rules of one head, with every per-head value reduced to that head's."""
        chosen = {}
        for key, value in self:
            if isinstance(value, tuple):
                if len(value) != num_heads:
                    raise PresetError(
                        f"preset key {key!r}: expected one value or {num_heads}, one per head, got {len(value)}"
                    )
                chosen[key] = value[index]
        return self.replace(**chosen) if chosen else self


class YoloRules(DarknetPreset):
    """[yolo] layers: YOLOv3 and v4.

    ``accumulate``: box deltas of several objects on one predictor add up (AlexeyAB); else the last object's stay
    (pjreddie). ``class_gate``: a predictor is ignored only if some class probability exceeds it (AlexeyAB .25).
    ``cls_normalizer`` has no effect without ``counters_per_class``, which is refused. ``show_details`` decides which
    cost darknet prints.
    """

    kind: ClassVar[str] = "yolo"
    own_keys: ClassVar[frozenset[str]] = DarknetPreset.own_keys | {"accumulate", "class_gate"}

    ignore_thresh: PerHead = 0.5
    truth_thresh: PerHead = 1.0
    iou_thresh: PerHead = 1.0
    iou_thresh_kind: Overlap | tuple[Overlap, ...] = "iou"
    iou_loss: IouLoss | tuple[IouLoss, ...] = "mse"
    iou_normalizer: PerHead = 0.75
    obj_normalizer: PerHead = 1.0
    cls_normalizer: PerHead = 1.0
    max_delta: float | tuple[float | None, ...] | None = None
    label_smooth_eps: PerHead = 0.0
    focal_loss: bool | tuple[bool, ...] = False
    objectness_smooth: bool | tuple[bool, ...] = False
    accumulate: bool = True
    class_gate: float | None = 0.25
    show_details: bool = True


class RegionRules(DarknetPreset):
    """[region] layers: YOLOv2.

    ``softmax`` None: as the head says. ``size_weight``: box deltas times 2 - w*h (pjreddie). ``chain_rule``: x, y and
    objectness deltas times the logistic's derivative (AlexeyAB). ``prior_images``: images seen until which every
    predictor is pulled to its anchor with weight ``prior_scale``.
    """

    kind: ClassVar[str] = "region"
    own_keys: ClassVar[frozenset[str]] = DarknetPreset.own_keys | {
        "size_weight",
        "chain_rule",
        "prior_images",
        "prior_scale",
    }

    object_scale: PerHead = 1.0
    noobject_scale: PerHead = 1.0
    class_scale: PerHead = 1.0
    coord_scale: PerHead = 1.0
    thresh: PerHead = 0.5
    bias_match: bool = False
    rescore: bool = False
    softmax: bool | None = None
    classfix: Literal[-1, 0, 1, 2] = 0
    focal_loss: bool = False
    size_weight: bool = False
    chain_rule: bool = True
    prior_images: int = Field(default=12_800, ge=0)
    prior_scale: float = 0.01


class DetectionRules(DarknetPreset):
    """[detection] layers: YOLOv1. ``softmax`` and ``sqrt`` None: the head's own."""

    kind: ClassVar[str] = "detection"

    object_scale: PerHead = 1.0
    noobject_scale: PerHead = 1.0
    class_scale: PerHead = 1.0
    coord_scale: PerHead = 1.0
    rescore: bool = False
    softmax: bool | None = None
    sqrt: bool | None = None
    forced: bool = False
    random: bool = False

    @model_validator(mode="after")
    def _refuse_random(self) -> Self:
        if self.random:
            raise ValueError("random=1 draws the responsible predictor by chance and has no defined loss")
        return self


def _cfg_value(key: str, value: object) -> object:
    if isinstance(value, list | tuple):
        values = [_cfg_value(key, item) for item in value]
        return values[0] if len(set(values)) == 1 else tuple(values)
    if key in _FLAGS:
        return bool(int(float(str(value)))) if not isinstance(value, bool) else value
    return value


def text(value: str | tuple[str, ...]) -> str:
    """Return the one word of a key that ``at_head`` has reduced."""
    if not isinstance(value, str):
        raise TypeError(f"expected one word, got {value!r}")
    return value


def scalar(value: float | tuple[float | None, ...] | None) -> float:
    """Return the one number of a key that ``at_head`` has reduced."""
    if not isinstance(value, float | int):
        raise TypeError(f"expected one number, got {value!r}")
    return float(value)

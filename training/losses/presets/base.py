"""The axes on which the YOLO losses differ, as one immutable model."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from yoloscope.models.errors import PresetError
from yoloscope.training.assignment.collisions import CollisionRule

CenterDecode = Literal["sigmoid", "scaled", "linear"]
ExtentDecode = Literal["head", "exp", "sigmoid", "squared", "double_sigmoid", "linear"]
Matching = Literal["cell_best_iou", "best_anchor_of_head", "best_anchor", "anchors_above", "ratio"]
ObjectnessTarget = Literal["one", "iou", "blend", "smooth"]
BoxLoss = Literal["mse", "mse_sqrt", "mse_t", "bce_xy_sse_wh", "l1_t", "iou", "giou", "diou", "ciou"]


class Keys(BaseModel):
    """A frozen set of keys, with a PresetError for every key or value that is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _preset_error(type(self), error) from error

    def replace(self, **changes: object) -> Self:
        """Return a copy with some keys changed; raise PresetError for a key that there is not."""
        return type(self)(**{**dict(self), **changes})


class PresetModel(Keys):
    """Base of all presets; ``version`` grows whenever a preset of that name comes to compute another number."""

    name: str = "user"
    source: str = "user-defined"
    version: int = 1


class Weights(Keys):
    """What each term's raw sum is multiplied with: the lambdas. Each may be one number, or one per head."""

    xy: float | tuple[float, ...] = 1.0
    wh: float | tuple[float, ...] = 1.0
    box: float | tuple[float, ...] = 1.0
    objectness: float | tuple[float, ...] = 1.0
    no_objectness: float | tuple[float, ...] = 1.0
    classification: float | tuple[float, ...] = 1.0
    prior: float | tuple[float, ...] = 0.01


class Preset(PresetModel):
    """A loss that autograd differentiates, described by the axes on which the versions differ.

    ``decode_wh="head"`` follows the head's own coordinates: exp, or (2 sigmoid)^2 where it says ``new_coords``.
    ``match``: the cell's best predicted IoU, the best anchor shape of the head or of all scales, that plus every anchor
    above ``match_threshold``, or every anchor within the ratio ``match_threshold``. ``ignore_threshold``: background
    predictors whose MaxIoU exceeds it pay nothing; ``ignore_class_gate``: and only if some class probability exceeds
    that. ``objectness_target``: 1, the predicted IoU, a blend ``1 - g + g * IoU`` with ``objectness_blend`` g, or
    ``smooth``: 1, while ignored predictors are drawn to their MaxIoU. ``box_size_weight``: 2 - w*h of the object.
    ``box_iou_gate``: box terms only where anchor and object overlap by more. ``alpha_gate``: CIoU's alpha is 0 up to
    IoU 0.5. ``scale_weights``: one factor per head on every term. ``normalizer``: what the sum is divided by; for
    ``positives`` and ``cells``, their mean number per image as well. ``prior_images``: images seen until which every
    predictor is pulled to its anchor. ``max_delta``: bound of each gradient entry of a raw box. ``class_weights``: one
    factor per class.
    """

    engine: ClassVar[str] = "formula"

    decode_xy: CenterDecode = "scaled"
    decode_wh: ExtentDecode = "head"
    confidence: Literal["sigmoid", "linear"] = "sigmoid"
    class_activation: Literal["sigmoid", "softmax", "linear"] = "sigmoid"
    match: Matching = "anchors_above"
    match_threshold: float = Field(default=0.213, gt=0)
    collision: CollisionRule = "mean"
    ignore_threshold: float | None = Field(default=0.7, ge=0, le=1)
    ignore_class_gate: float | None = Field(default=None, ge=0, le=1)
    objectness_target: ObjectnessTarget = "one"
    objectness_blend: float = Field(default=1.0, ge=0, le=1)
    objectness_loss: Literal["bce", "mse", "focal"] = "bce"
    box_loss: BoxLoss = "ciou"
    box_size_weight: bool = False
    box_iou_gate: float | None = Field(default=None, ge=0, lt=1)
    alpha_gate: bool = False
    class_loss: Literal["bce", "mse", "ce", "focal"] = "bce"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    focal_gamma: float = Field(default=2.0, ge=0)
    focal_alpha: float = Field(default=0.25, ge=0, le=1)
    weights: Weights = Weights()
    scale_weights: tuple[float, ...] | None = None
    class_weights: tuple[float, ...] | None = None
    normalizer: Literal["images", "positives", "cells", "none"] = "images"
    prior_images: int = Field(default=0, ge=0)
    max_delta: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        needs_sigmoid = self.class_loss in {"bce", "focal"} and self.class_activation != "sigmoid"
        if needs_sigmoid:
            raise ValueError(f"class_loss {self.class_loss!r} needs class_activation 'sigmoid'")
        if self.class_loss == "ce" and self.class_activation != "softmax":
            raise ValueError("class_loss 'ce' needs class_activation 'softmax'")
        if self.objectness_loss != "mse" and self.confidence != "sigmoid":
            raise ValueError(f"objectness_loss {self.objectness_loss!r} needs confidence 'sigmoid'")
        if self.box_loss in {"mse_t", "bce_xy_sse_wh", "l1_t"} and self.decode_xy == "linear":
            raise ValueError(f"box_loss {self.box_loss!r} needs decode_xy 'sigmoid' or 'scaled'")
        return self

    @model_validator(mode="after")
    def _check_cells(self) -> Self:
        if self.match == "cell_best_iou" and self.collision != "first":
            raise ValueError(f"match 'cell_best_iou' needs collision 'first', got {self.collision!r}")
        if self.match == "cell_best_iou" and self.prior_images:
            raise ValueError("match 'cell_best_iou' has no anchors that prior_images could pull to")
        return self


def _preset_error(model: type[Keys], error: ValidationError) -> PresetError:
    first = error.errors()[0]
    where = ".".join(part for part in map(str, first["loc"]) if part.isidentifier()) or "the preset"
    if first["type"] == "extra_forbidden":
        return PresetError(f"unknown preset key {where!r}; known keys: {', '.join(sorted(model.model_fields))}")
    return PresetError(f"preset key {where!r}: {first['msg']}, got {first['input']!r}")

"""Schemas of losses of raw heads: requests, and the whole report as an answer."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from yoloscope.app.schemas.base import Schema
from yoloscope.app.schemas.detect import CenterBox
from yoloscope.app.schemas.score import Background, Cell, ObjectAssignment, PredictorRole, Terms
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec
from yoloscope.training.losses.names import PRESET_NAMES, Detail

LARGEST_SIDE: Final = 65_536
LARGEST_NUMBER: Final = 1e9
_NUMBERS: Final = {"type": "array", "items": {"type": "number"}}
_FLAT_HEAD: Final = {"type": "array", "items": _NUMBERS}
_GRID_HEAD: Final = {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": _NUMBERS}}}
RawHead = Annotated[Any, Field(json_schema_extra={"anyOf": [_GRID_HEAD, _FLAT_HEAD]})]
HeadValues = Annotated[Any, Field(json_schema_extra={"type": "array", "items": {}})]
Objects = Annotated[list["LossObject"], Field(max_length=10_000)]


class HeadsSpec(DetectorSpec):
    """The detector whose raw heads these are, as `GET /v1/models/{name}` describes one; what the loss needs of it.

    A head is `yolo` (v3, v4), `region` (v2) or `detection` (v1, flat, with `boxes_per_cell`); `anchor_indices` point
    into `anchors_px`, which are in pixels of the network's input. The stride is the input's size over the grid's.
    """

    name: Annotated[str, Field(max_length=200)] = "heads"
    family: Literal["v1", "v2", "v3", "v4"] = "v4"
    loss: LossSpec = LossSpec(preset="v4")

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        for name, value in (("input_width", self.input_width), ("input_height", self.input_height)):
            _require_size(name, value)
        for index, (width, height) in enumerate(self.anchors_px):
            _require_size(f"anchors_px[{index}]", width)
            _require_size(f"anchors_px[{index}]", height)
        for index, head in enumerate(self.heads):
            _require_head(f"heads[{index}]", head)
        return self


def _require_size(name: str, value: float) -> None:
    if not 0 < value <= LARGEST_SIDE:
        raise ValueError(f"{name}: expected a size above 0 and at most {LARGEST_SIDE}, got {value:g}")


def _require_head(name: str, head: HeadSpec) -> None:
    sizes = {
        "grid_width": head.grid_width,
        "grid_height": head.grid_height,
        "scale_xy": head.scale_xy,
        "boxes_per_cell": head.boxes_per_cell or 1,
        "number of anchor_indices": len(head.anchor_indices) or 1,
    }
    for key, value in sizes.items():
        _require_size(f"{name}.{key}", value)


class LossObject(Schema):
    """One object of an image; the class by its id or by its name."""

    class_id: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    class_name: Annotated[str, Field(max_length=200)] | None = None
    box: CenterBox
    """As fractions of the network's input; the center within it."""
    weight: Annotated[float, Field(ge=0, le=LARGEST_NUMBER)] | None = None
    """Share with which it enters the loss; formula presets only. Without it 1."""

    @model_validator(mode="after")
    def _one_class(self) -> Self:
        if (self.class_id is None) == (self.class_name is None):
            raise ValueError("expected either class_id or class_name, got both or neither")
        return self


class LossesRequest(Schema):
    """Labels, spec and options; the heads come beside it in an npz file."""

    spec: HeadsSpec
    labels: Annotated[list[Objects], Field(min_length=1, max_length=4096)]
    """The objects of each image of the batch, in order; an empty list for an image without."""
    preset: Annotated[str, Field(max_length=200, examples=list(PRESET_NAMES))] | None = None
    """Name of the loss; without it the one of `spec.loss`, with its overrides."""
    options: Annotated[dict[str, Any], Field(max_length=100)] = Field(default_factory=dict)
    """Keys of the preset that differ, such as `{"ignore_threshold": 0.6, "weights": {"box": 2}}`."""
    detail: Detail = "objects"
    """`summary`: terms, scales and images; `objects`: also objects and background; `cells`: also the cost, the role
    and the gradient of every predictor."""
    images_seen: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """Images seen in training so far, for presets with an early phase; without it long past it."""
    divisor: Annotated[float, Field(ge=1 / LARGEST_NUMBER, le=LARGEST_NUMBER)] | None = None
    """Replaces the preset's own divisor of the summed costs."""


class LossesBody(LossesRequest):
    """The same with the heads as nested arrays."""

    heads: Annotated[list[RawHead], Field(min_length=1, max_length=64)]
    """Raw outputs of the network in the order of `spec.heads`, before any activation: `[images][anchors * (5 +
    classes)][rows][columns]`, for a `detection` head `[images][values]`. As from `tensor.tolist()`."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision to compute in."""


class ScaleLoss(Schema):
    """The share of one head."""

    stride: Annotated[list[float], Field(min_length=2, max_length=2)]
    """Network pixels per cell, across and down."""
    grid: Cell
    """Columns and rows."""
    total: float
    terms: Terms
    roles: dict[PredictorRole, int] | None = None
    """How many predictors play each part."""
    cells: dict[str, HeadValues] | None = None
    """With detail `cells`: weighted cost of each term at every predictor, `[images][anchors][rows][columns]`."""
    cell_roles: HeadValues | None = None
    """With detail `cells`: the part of every predictor: 0 background, 1 ignored, 2 responsible, 3 extra, 4 prior."""
    gradient: HeadValues | None = None
    """With detail `cells`: derivative of the total with respect to each raw value, in the shape of the head."""


class ImageLoss(Schema):
    """The share of one image."""

    loss: float
    """Its loss by itself."""
    total: float
    """What it adds to the total of the batch."""
    terms: Terms


class ObjectLoss(Schema):
    """The share of one object."""

    image: int
    index: int
    """Position among the objects of its image, from 0."""
    class_id: int
    status: Literal["assigned", "collided", "lost"]
    """`collided`: its predictors are assigned to other objects; `lost`: no head has a predictor for it."""
    total: float
    terms: Terms
    assignments: list[ObjectAssignment]


class DarknetHead(Schema):
    """Variables that darknet itself would hold for one head."""

    cost: float
    """As darknet prints it, over the whole batch."""
    total_bbox: int
    rewritten_bbox: int


class LossesAnswer(Schema):
    """The report of a loss; weighted terms add up to `total`, so do scales, images, and objects with background."""

    preset: str
    preset_version: int
    normalizer: str
    """What the sums were divided by; totals of different presets, versions or normalizers cannot be compared."""
    divisor: float
    images: int
    objects: int
    total: float
    terms: Terms
    box_parts: Terms
    """The box terms split: `centre` and `size`, or `overlap` (1 - IoU), `enclosure`, `distance`, `aspect`."""
    by_scale: list[ScaleLoss]
    by_image: list[ImageLoss]
    by_object: list[ObjectLoss] | None = None
    """In the order of the request."""
    background: list[Background] | None = None
    """Image by image, the cost of predictors without an object."""
    darknet: list[DarknetHead] | None = None
    """Of a darknet preset, head by head."""
    timing_ms: dict[str, float]
    """Milliseconds of `queue`, `loss` and in `total`."""

"""Schemas of scoring: options and answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yoloscope.app.schemas.base import Schema
from yoloscope.app.schemas.detect import CornerBox, ImageSize
from yoloscope.training.data.annotations import LabelsFormat
from yoloscope.training.losses.names import Detail

PredictorRole = Literal["background", "ignored", "responsible", "extra", "prior"]
Cell = Annotated[list[int], Field(min_length=2, max_length=2)]
AnchorSize = Annotated[list[float], Field(min_length=2, max_length=2)]
"""Width and height of an anchor in pixels of the network's input."""


class ScoreOptions(Schema):
    """Options of scoring, in the query or in the form, or in both with equal values."""

    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Name of the model, see `GET /v1/models`; without it the default model."""
    labels_format: LabelsFormat = "auto"
    """`yolo` text, Pascal `voc` XML, `coco` JSON, `native` JSON; `auto` tells by the content."""
    preset: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The loss; without it the one the model was trained with."""
    keep: bool = False
    """Keep what the model said about each image: the answer has an `image_id` for it."""
    image_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """In the place of `image`: one that an answer to `keep` named, so that only labels travel. It goes with the model
    and API key of that answer, and is forgotten a while after its last use: at 404, send the image again."""
    detail: Detail = "objects"
    """`summary`: terms and scales; `objects`: also objects and unexplained predictions; `cells`: also maps."""


class TermValue(Schema):
    """One term of the loss."""

    raw: float
    """The sum before its weight."""
    weighted: float
    """What counts: all weighted terms add up to the total."""


Terms = dict[str, TermValue]


class Predictor(Schema):
    """One predictor: a cell of a scale and one of its anchors."""

    stride: float
    """Network pixels per cell."""
    cell: Cell
    """Column and row."""
    anchor: int
    """Position among the anchors of this scale."""
    anchor_px: AnchorSize | None = None
    """Width and height of the anchor in pixels of the network's input; absent where a head has none."""
    role: PredictorRole


class ScaleScore(Schema):
    """The share of one scale (head)."""

    stride: float
    """Network pixels per cell."""
    grid: Cell
    """Columns and rows."""
    total: float
    terms: Terms
    roles: dict[PredictorRole, int] | None = None
    """How many predictors play each part."""
    cells: dict[str, list[list[float]]] | None = None
    """With detail `cells`: per term, rows of columns; the weighted cost of the cell, its anchors added up."""
    predictors: list[Predictor] | None = None
    """With detail `cells`: every predictor that is not mere background."""


class ObjectAssignment(Predictor):
    """A predictor that is assigned to an object."""

    iou: float
    """Overlap of what it predicts now with the object, decoded as the preset does."""
    anchor_iou: float
    """Overlap of its anchor's shape with the object's; 0 where a head has no anchors."""


class ObjectPrediction(Schema):
    """Prediction of the model at the predictor that an object is assigned to.

    Of several responsible predictors, the one of highest objectness; for an object without any, the prediction that
    overlaps it most.
    """

    box: CornerBox
    score: float
    """Objectness times probability of the class."""
    objectness: float
    class_id: int
    """The most probable class."""
    class_name: str
    iou: float
    """Overlap with the label."""
    stride: float
    cell: Cell
    anchor: int
    anchor_px: AnchorSize | None = None
    """Width and height of the anchor in pixels of the network's input; absent where a head has none."""


class ObjectScore(Schema):
    """The share of one object."""

    index: int
    """Position in the label file, from 0."""
    pointer: str
    """JSON pointer of the object in the label file."""
    class_name: str
    box: CornerBox
    """As labeled."""
    total: float
    terms: Terms
    box_parts: Terms
    """Its box terms split, as those of the image."""
    rank: int
    """1 is the object that costs most."""
    assignments: list[ObjectAssignment]
    predicted: ObjectPrediction
    why: str = ""
    """In words, what makes it expensive."""
    flags: list[str]
    """`duplicate`, `identical`, `tiny`, `difficult`; `lost`: no predictor can be assigned to it; `collided`: its
    predictors are assigned to other objects; `shared`: its predictor has other objects too; `anchor_misfit`: no anchor
    has its shape."""


class UnscoredObject(Schema):
    """An object that takes no part in the loss."""

    index: int
    pointer: str
    class_name: str
    box: CornerBox
    flags: list[str]
    """Why: `crowd`, a region of many objects."""


class UnexplainedPrediction(Schema):
    """A detection that overlaps no label of any class by 0.5 and lies in no crowd region."""

    box: CornerBox
    class_id: int
    class_name: str
    score: float
    cost: float
    """What its predictor pays for seeing an object: its weighted no-object cost."""
    stride: float
    cell: Cell
    anchor: int
    anchor_px: AnchorSize | None = None
    """Width and height of the anchor in pixels of the network's input; absent where a head has none."""
    role: PredictorRole
    serves: list[int]
    """Objects that its predictor is assigned to although it overlaps them by less than 0.5, by position in the file."""


class Background(Schema):
    """The share of predictors without an object; together with the objects it adds up to the total."""

    total: float
    terms: Terms


class ImageScore(Schema):
    """One image with its labels; the scales' totals add up to `total`, so do the weighted terms."""

    image: ImageSize
    image_id: str | None = None
    """With `keep`, or as it was sent: stands for the image in later requests. It expires."""
    labels_format: Literal["yolo", "voc", "coco", "native"]
    objects: int
    """How many objects were scored."""
    total: float
    terms: Terms
    box_parts: Terms
    """The box terms split: `centre` and `size`, or `overlap` (1 - IoU), `enclosure`, `distance`, `aspect`."""
    by_scale: list[ScaleScore]
    by_object: list[ObjectScore] | None = None
    """In the order of the file."""
    background: Background | None = None
    unexplained: list[UnexplainedPrediction] | None = None
    not_scored: list[UnscoredObject] | None = None


class ScoreAnswer(Schema):
    """Scores of all images, in the order of the request."""

    model: str
    version: str
    """The first 12 digits of the model file's sha256."""
    preset: str
    preset_version: int
    normalizer: str
    """What the sums were divided by; totals of different presets, versions or normalizers cannot be compared."""
    results: list[ImageScore]
    timing_ms: dict[str, float]
    """Milliseconds of `decode`, `queue`, `inference` and `score`; `total` is all from the head of the request to its
    answer, the upload included."""

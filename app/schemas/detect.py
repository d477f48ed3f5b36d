"""Schemas of detection: options (form fields, query parameters or JSON fields), bodies and answers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from yoloscope.app.schemas.base import Schema

AnswerFormat = Literal["native", "coco", "yolo"]
ClassItem = Annotated[str, Field(min_length=1, max_length=200)] | Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Base64 = Annotated[str, Field(min_length=1, json_schema_extra={"contentEncoding": "base64"})]


class DetectOptions(Schema):
    """Options of detection, in the query or in the body, or in both with equal values."""

    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Name of the model, see `GET /v1/models`; without it the default model."""
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least score (objectness x class probability) of a detection; without it the model's own, usually 0.25."""
    iou_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Similarity above which the lower of two boxes of one class is suppressed; without it the model's own, usually
    0.45."""
    max_detections: Annotated[int, Field(ge=1, le=10_000)] = 300
    """Most detections per image, the best first; an answer that was cut says `"truncated": true`."""
    classes: Annotated[list[ClassItem], Field(min_length=1, max_length=10_000)] | None = None
    """Only these classes, by name or id. As a form field or query parameter: repeated, or separated by commas; a name
    that holds a comma is asked for in JSON."""
    format: AnswerFormat = "native"
    """`native`: corner boxes in pixels; `coco`: COCO result entries; `yolo`: normalized center boxes and label text."""


class DetectBody(DetectOptions):
    """A request as JSON: one image in `image` or several in `images`, as base64 or a data: URL."""

    image: Base64 | None = None
    """One image."""
    images: Annotated[list[Base64], Field(min_length=1)] | None = None
    """Several images."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.image is None) == (self.images is None):
            raise ValueError("expected either image or images, got both or neither")
        return self

    def encoded(self) -> list[str]:
        """Return the base64 texts, in order."""
        return self.images if self.images is not None else [self.image or ""]


class ImageSize(Schema):
    """Size of an image as seen (EXIF orientation applied)."""

    width: int
    height: int


class CornerBox(Schema):
    """Corners in pixels of the image as seen; not clipped, so they may lie outside the image."""

    x1: float
    y1: float
    x2: float
    y2: float


class CenterBox(Schema):
    """Center and size as fractions of the image's width and height; not clipped."""

    cx: float
    cy: float
    w: float
    h: float


class NativeDetection(Schema):
    """One object."""

    class_id: int
    class_name: str
    score: float
    box: CornerBox


class CocoDetection(Schema):
    """One object as an entry of a COCO results file."""

    image_id: int
    """Position of the image in the request, from 0."""
    category_id: int
    """The official category id (1..90) if the model has exactly COCO's 80 classes, else the class id."""
    bbox: Annotated[list[float], Field(min_length=4, max_length=4)]
    """Left, top, width and height in pixels."""
    score: float


class YoloDetection(Schema):
    """One object with a normalized box."""

    class_id: int
    class_name: str
    score: float
    box: CenterBox


class _Result(Schema):
    image: ImageSize
    truncated: Literal[True] | None = None
    """Present, and true, if `max_detections` cut off detections."""


class NativeResult(_Result):
    """One image; detections have the highest score first."""

    detections: list[NativeDetection]


class CocoResult(_Result):
    """One image; detections have the highest score first."""

    detections: list[CocoDetection]


class YoloResult(_Result):
    """One image; detections have the highest score first."""

    detections: list[YoloDetection]
    labels: str
    """The same as the text of a label file: one `class_id cx cy w h score` per line."""


TimingMs = Annotated[
    dict[str, float],
    Field(
        description="Milliseconds of `decode` (bytes to network input), `queue`, `inference` and `finish`; `total` is "
        "all from the head of the request to its answer, the upload included."
    ),
]


class _Answer(Schema):
    model: str
    version: str
    """The first 12 digits of the model file's sha256."""


class NativeAnswer(_Answer):
    """Detections of all images, in the order of the request."""

    results: list[NativeResult]
    timing_ms: TimingMs


class CocoAnswer(_Answer):
    """Detections of all images, in the order of the request."""

    results: list[CocoResult]
    timing_ms: TimingMs


class YoloAnswer(_Answer):
    """Detections of all images, in the order of the request."""

    results: list[YoloResult]
    timing_ms: TimingMs


DetectAnswer = NativeAnswer | CocoAnswer | YoloAnswer

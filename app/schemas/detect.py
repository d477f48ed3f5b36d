"""The answers of detection."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.schemas.base import Schema


class ImageSize(Schema):
    """Size of a picture as seen (EXIF orientation applied)."""

    width: int
    height: int


class CornerBox(Schema):
    """Corners in pixels of the picture as seen; not clipped, so they may lie outside the picture."""

    x1: float
    y1: float
    x2: float
    y2: float


class CentreBox(Schema):
    """Centre and size as fractions of the picture's width and height; not clipped."""

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
    """Position of the picture in the request, from 0."""
    category_id: int
    """The official category id (1..90) if the model has exactly COCO's 80 classes, else the class id."""
    bbox: Annotated[list[float], Field(min_length=4, max_length=4)]
    """Left, top, width and height in pixels."""
    score: float


class YoloDetection(Schema):
    """One object with a normalised box."""

    class_id: int
    class_name: str
    score: float
    box: CentreBox


class _Result(Schema):
    image: ImageSize
    truncated: Literal[True] | None = None
    """Present, and true, if `max_detections` cut off detections."""


class NativeResult(_Result):
    """One picture; detections have the highest score first."""

    detections: list[NativeDetection]


class CocoResult(_Result):
    """One picture; detections have the highest score first."""

    detections: list[CocoDetection]


class YoloResult(_Result):
    """One picture; detections have the highest score first."""

    detections: list[YoloDetection]
    labels: str
    """The same as the text of a label file: one `class_id cx cy w h score` per line."""


TimingMs = Annotated[
    dict[str, float],
    Field(description="Milliseconds of `decode` (bytes to network input), `queue`, `inference`, `finish`, in `total`."),
]


class _Answer(Schema):
    model: str
    version: str
    """The first 12 digits of the model file's sha256."""


class NativeAnswer(_Answer):
    """Detections of all pictures, in the order of the request."""

    results: list[NativeResult]
    timing_ms: TimingMs


class CocoAnswer(_Answer):
    """Detections of all pictures, in the order of the request."""

    results: list[CocoResult]
    timing_ms: TimingMs


class YoloAnswer(_Answer):
    """Detections of all pictures, in the order of the request."""

    results: list[YoloResult]
    timing_ms: TimingMs


DetectAnswer = NativeAnswer | CocoAnswer | YoloAnswer

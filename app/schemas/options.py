"""The options of detection, as form fields, query parameters or JSON fields."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from app.schemas.base import Schema

AnswerFormat = Literal["native", "coco", "yolo"]
ClassItem = Annotated[str, Field(min_length=1, max_length=200)] | Annotated[int, Field(ge=0, le=1_000_000)]
Base64 = Annotated[str, Field(min_length=1, json_schema_extra={"contentEncoding": "base64"})]


class DetectOptions(Schema):
    """How to detect; an option may be given in the query or in the body, not in both."""

    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Name of the model, see `GET /v1/models`; without it the default model."""
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least score (objectness x class probability) of a detection; without it the model's own, usually 0.25."""
    iou_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Similarity above which the lower of two boxes of one class is suppressed; without it the model's own, usually
    0.45."""
    max_detections: Annotated[int, Field(ge=1, le=10_000)] = 300
    """Most detections per picture, the best first; an answer that was cut says `"truncated": true`."""
    classes: Annotated[list[ClassItem], Field(min_length=1, max_length=10_000)] | None = None
    """Only these classes, by name or id. As a form field or query parameter: repeated, or separated by commas."""
    format: AnswerFormat = "native"
    """`native`: corner boxes in pixels; `coco`: COCO result entries; `yolo`: normalised centre boxes and label text."""

    @field_validator("classes")
    @classmethod
    def _split_commas(cls, value: list[ClassItem] | None) -> list[ClassItem] | None:
        if value is None:
            return None
        parts: list[ClassItem] = []
        for item in value:
            parts += [part.strip() for part in item.split(",")] if isinstance(item, str) else [item]
        if "" in parts:
            raise ValueError("expected class names or ids, got an empty one")
        return parts


class DetectBody(DetectOptions):
    """A request as JSON: one picture in `image` or several in `images`, base64 (a data: URL is taken too)."""

    image: Base64 | None = None
    """One picture."""
    images: Annotated[list[Base64], Field(min_length=1)] | None = None
    """Several pictures."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.image is None) == (self.images is None):
            raise ValueError("expected either image or images, got both or neither")
        return self

    def encoded(self) -> list[str]:
        """Return the base64 texts, in order."""
        return self.images if self.images is not None else [self.image or ""]

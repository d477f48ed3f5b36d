"""Schemas of DeepStack's object detection, which software for home cameras calls.

Source: https://docs.deepstack.cc/object-detection and the calls of Frigate.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yoloscope.app.schemas.base import Schema
from yoloscope.app.schemas.detect import ClassItem


class DeepStackFields(Schema):
    """Text fields of a form beside its image."""

    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.4
    api_key: str = ""


class DeepStackOptions(Schema):
    """Options of the address."""

    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """A name of `GET /v1/models`; the default model if left out."""
    classes: Annotated[list[ClassItem], Field(min_length=1, max_length=10_000)] | None = None
    """Only these classes, by name or id."""


class DeepStackPrediction(Schema):
    """One object; pixels of the image, within it."""

    confidence: float
    label: str
    x_min: int
    y_min: int
    x_max: int
    y_max: int


class DeepStackAnswer(Schema):
    """The objects of one image, the highest confidence first, at most 20."""

    success: Literal[True] = True
    predictions: list[DeepStackPrediction]
    duration: float
    """Milliseconds."""


class DeepStackError(Schema):
    """Why a request failed."""

    success: Literal[False] = False
    error: str
    duration: float = 0

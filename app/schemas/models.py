"""Schemas of models and of health.

Health answers.
"""

from __future__ import annotations

from typing import Literal

from yoloscope.app.schemas.base import Schema
from yoloscope.models.spec import DetectorSpec


class Live(Schema):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(Schema):
    """The default model has run on the provider that was asked for."""

    status: Literal["ready"] = "ready"
    model: str
    version: str
    provider: str


class ModelSummary(Schema):
    """One entry of the list of models; version and provider are null until the model is loaded by its first use."""

    name: str
    default: bool
    loaded: bool
    version: str | None = None
    provider: str | None = None
    problem: str | None = None
    """Why its file could not be loaded when it was last tried; where `loaded`, the version of before serves."""


class ModelList(Schema):
    """All models that requests may name."""

    default: str
    fallback_for: str | None = None
    """The model whose place the built-in one takes, as it could not be downloaded; null where none is missing."""
    models: list[ModelSummary]


class ModelDetail(Schema):
    """One model: where it runs, which file it is, and its whole description."""

    name: str
    default: bool
    version: str
    """The first 12 digits of ``sha256``."""
    sha256: str
    """Of the artifact, the ONNX file."""
    provider: str
    """The execution provider at work: cuda or cpu."""
    spec: DetectorSpec
    """Class names, input size, how images are placed, anchors, heads, suppression, loss, where the weights came
    from."""

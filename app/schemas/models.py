"""Schemas of models and of health.

Health answers.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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


class VariantFigures(Schema):
    """A faster variant of a model: what it costs and brings on this machine."""

    precision: Literal["int8", "bf16"]
    engine: Literal["onnxruntime", "openvino"]
    ap_drop: float | None
    """AP of fp32 less that of the variant, see `measured_against`; null where it was not measured."""
    speedup: float
    """How many times as fast it detects as fp32."""


class Precision(Schema):
    """Numbers that the model detects with, and why; labels are always scored in fp32."""

    requested: Literal["auto", "fp32", "int8", "bf16"]
    """The setting of the service."""
    state: Literal["fp32", "preparing", "ready", "failed"]
    """`ready`: a variant detects; `preparing`: fp32 does until one is ready; `fp32` and `failed`: see `reason`."""
    running: Literal["fp32", "int8", "bf16"]
    engine: Literal["onnxruntime", "openvino"]
    reason: str
    ap_drop: float | None = None
    """Of the variant that runs."""
    speedup: float | None = None
    """Of the variant that runs."""
    fp32_ap: float | None = None
    measured_against: Literal["labels", "agreement"] | None = None
    """`labels`: AP against the labels of the images; `agreement`: AP against what fp32 finds in the same images at 7/8
    of their size."""
    measured_on: str | None = None
    """Name of the images' folder; every other one calibrates, those between measure."""
    measured_images: int | None = None
    calibration_images: int | None = None
    variants: list[VariantFigures] = Field(default_factory=list)
    """All that were made."""


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
    precision: Precision
    spec: DetectorSpec
    """Class names, input size, how images are placed, anchors, heads, suppression, loss, where the weights came
    from."""

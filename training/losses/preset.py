"""Interface of a loss preset: named, immutable keys, and a strategy that turns raw heads into costs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from pydantic import ValidationError
from torch import Tensor

from yoloscope.models.errors import PresetError
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.strict_model import StrictModel
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import HeadGeometry
from yoloscope.training.losses.costs import TERMS, HeadCosts
from yoloscope.training.losses.darknet.deltas import DarknetState

Normalizer = Literal["images", "positives", "cells", "none"]


@dataclass(frozen=True)
class LossInputs:
    """Raw heads of a batch with their ground truth and spec.

    ``images_seen`` is how many images training has seen, for presets with an early phase; None: long past it.
    """

    heads: Sequence[Tensor]
    geometries: Sequence[HeadGeometry]
    truth: GroundTruth
    spec: DetectorSpec
    images_seen: int | None = None


@dataclass(frozen=True)
class BatchCosts:
    """Raw costs of all heads; ``by_head_term_image`` [H, T, B] is on the graph, and all that the total needs."""

    heads: tuple[HeadCosts, ...]
    by_head_term_image: Tensor
    darknet: DarknetState | None = None

    @classmethod
    def of_heads(cls, heads: Sequence[HeadCosts]) -> BatchCosts:
        """Sum the costs of each head by term and image."""
        return cls(tuple(heads), torch.stack([head.by_image() for head in heads]))


class PresetConfig(StrictModel):
    """Strict, frozen pydantic configuration of a loss; raises PresetError for every key or value that is wrong."""

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _preset_error(type(self), error) from error

    def replace(self, **changes: object) -> Self:
        """Return a copy with some keys changed; raise PresetError for a key that there is not."""
        return type(self)(**{**dict(self), **changes})


class LossPreset(PresetConfig):
    """Base of all presets; ``version`` grows whenever a preset of that name comes to compute another number."""

    name: str = "user"
    source: str = "user-defined"
    version: int = 1

    @property
    def normalized_by(self) -> Normalizer:
        """Divisor of the summed costs."""
        return "images"

    @property
    def sums_over_images(self) -> bool:
        """Whether the costs of a batch are those of its images, whatever the others are."""
        return True

    @property
    def head_kinds(self) -> frozenset[str]:
        """Kinds of head that the preset scores."""
        return frozenset({"detection"})

    @property
    def is_formula(self) -> bool:
        """Whether the keys of ``formula.FormulaPreset`` (box loss, label smoothing, object weights ...) apply."""
        return False

    @property
    def extra_anchor_iou(self) -> float | None:
        """Shape IoU above which further anchors are assigned to an object; None: the best one alone."""
        return None

    @abstractmethod
    def costs(self, inputs: LossInputs) -> BatchCosts:
        """Return the raw costs of a batch: decode, assign, cost."""

    def term_weights(self, num_heads: int) -> list[list[float]]:
        """Return the weight [H][T] of every term in every head; raise PresetError where a tuple is not one per head."""
        weights = self.lambdas()
        return [[weights.get(term, 1.0) for term in TERMS] for _ in range(num_heads)]

    def lambdas(self) -> Mapping[str, float]:
        """Return the weights that are not 1, by term."""
        return {}

    def require_fit(self, spec: DetectorSpec) -> None:
        """Raise PresetError unless the preset can score the heads of a detector."""
        kinds = {head.kind for head in spec.heads}
        if not kinds <= self.head_kinds:
            allowed = " or ".join(sorted(self.head_kinds))
            raise PresetError(f"preset {self.name!r} needs {allowed} heads, got {sorted(kinds)}")

    def with_overrides(self, overrides: Mapping[str, Any]) -> Self:
        """Return the preset with the keys of ``spec.loss.overrides``."""
        return self.replace(**overrides)


def _preset_error(model: type[PresetConfig], error: ValidationError) -> PresetError:
    first = error.errors()[0]
    where = ".".join(part for part in map(str, first["loc"]) if part.isidentifier()) or "the preset"
    if first["type"] == "extra_forbidden":
        return PresetError(f"unknown preset key {where!r}; known keys: {', '.join(sorted(model.model_fields))}")
    return PresetError(f"preset key {where!r}: {first['msg']}, got {first['input']!r}")

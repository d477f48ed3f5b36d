"""Calibration of a label audit: one logistic model per kind of error, which turns evidence into a probability.

``class``, ``location`` and ``spurious`` are fitted on injected errors. ``missing`` learns from the labels as they are:
of all detections, which have a label; the odds of having one order the detections that have none. All are then shifted
to the share of errors that is assumed (``prevalence``): a factor on the odds. For ``missing`` the factor is the one at
which the expected number of missing labels on the calibration images is that share of all objects, since a detector
that learned from incomplete labels cannot tell how incomplete they are.

Source: Saerens et al., Adjusting the Outputs of a Classifier to New a Priori Probabilities, 2002.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal, Self, TypedDict

import torch
from pydantic import Field, model_validator
from torch import Tensor

from yoloscope.models.errors import SpecError
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.strict_model import StrictModel
from yoloscope.training.diagnostics.evidence import (
    CLASS_FEATURES,
    LOCATION_FEATURES,
    MISSING_FEATURES,
    SPURIOUS_FEATURES,
)
from yoloscope.training.diagnostics.findings import KINDS, FindingKind
from yoloscope.training.diagnostics.prevalence import DEFAULT_PREVALENCE, PREVALENCE_BOUNDS
from yoloscope.training.diagnostics.views import View

FEATURES: Final[Mapping[FindingKind, tuple[str, ...]]] = {
    "missing": MISSING_FEATURES,
    "class": CLASS_FEATURES,
    "location": LOCATION_FEATURES,
    "spurious": SPURIOUS_FEATURES,
}
_RIDGE: Final = 1.0
_NEWTON_STEPS: Final = 40
_QUANTILES: Final = 100
_BISECTIONS: Final = 60
_LARGEST_SHIFT: Final = 30.0


class Channel(StrictModel):
    """Logistic model of one kind: weights of standardized features.

    ``prevalence`` is the share of errors that its probabilities assume unless another is stated: of labels, and of
    ``missing`` of objects. ``fitted_prevalence`` is the share of errors among the labels it was fitted to. ``missing``
    has instead ``unlabeled_logits``, quantiles over the unlabeled detections of the calibration images, of which there
    were ``unlabeled_per_label``.
    """

    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    prevalence: float = Field(gt=0, lt=1)
    fitted_prevalence: float = Field(default=0.5, gt=0, lt=1)
    unlabeled_logits: tuple[float, ...] = ()
    unlabeled_per_label: float = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _require_as_many_numbers(self) -> Self:
        lengths = len(self.mean), len(self.scale), len(self.weights)
        if lengths != (len(self.features),) * 3:
            raise ValueError(f"expected mean, scale and weight of {len(self.features)} features, got {lengths}")
        if min(self.scale, default=1.0) <= 0:
            raise ValueError(f"expected scales above 0, got {min(self.scale)}")
        return self

    def probability(self, features: Tensor, prevalence: float | None = None) -> Tensor:
        """Return the probability float64 [n] of an error by features [n, F], at the stated or own prevalence."""
        assumed = self.prevalence if prevalence is None else prevalence
        return _sigmoid(self.logits(features) + self.log_odds_shift(assumed))

    def log_odds_shift(self, prevalence: float) -> float:
        """Return what a share of errors adds to the log odds."""
        if not self.unlabeled_logits:
            return _log_odds(prevalence) - _log_odds(self.fitted_prevalence)
        reference = torch.tensor(self.unlabeled_logits, dtype=torch.float64)
        wanted = min(prevalence / (1 - prevalence) / max(self.unlabeled_per_label, 1e-9), 0.999)
        low, high = -_LARGEST_SHIFT, _LARGEST_SHIFT
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            below = float((reference + middle).sigmoid().mean()) < wanted
            low, high = (middle, high) if below else (low, middle)
        return (low + high) / 2

    def logits(self, features: Tensor) -> Tensor:
        """Return the log odds float64 [n] of features [n, F] at the fitted prevalence."""
        mean, scale, weights = (
            torch.tensor(values, dtype=torch.float64) for values in (self.mean, self.scale, self.weights)
        )
        standardized = (features.double() - mean) / scale
        # a sum of columns in a fixed order: a matrix product's rounding depends on the number of rows
        total = torch.full((len(features),), self.bias, dtype=torch.float64)
        for index, weight in enumerate(weights):
            total = total + standardized[:, index] * weight
        return total


class AuditCalibration(StrictModel):
    """All that an audit needs besides the detector; it travels in the artifact (``DetectorSpec.calibration``).

    ``typical_sizes`` are the classes' median label sizes as shares of the image; ``data``, ``images`` and ``labels``
    say what it was fitted on.
    """

    format_version: Literal[1] = 1
    views: tuple[View, ...] = Field(min_length=1)
    typical_sizes: tuple[float, ...]
    channels: Mapping[FindingKind, Channel]
    data: str
    images: int
    labels: int

    @model_validator(mode="after")
    def _require_the_image_itself(self) -> Self:
        if self.views[0] != "plain":
            raise ValueError(f"expected views that begin with plain, got {', '.join(self.views)}")
        if "tiled" in self.views[:-1]:
            raise ValueError(f"expected tiled as the last view, got {', '.join(self.views)}")
        return self

    @classmethod
    def of_spec(cls, spec: DetectorSpec) -> AuditCalibration | None:
        """Return the calibration of an artifact, None where it has none; raises SpecError where it does not fit."""
        if spec.calibration is None:
            return None
        try:
            found = cls.model_validate(spec.calibration)
        except ValueError as error:
            raise SpecError(f"expected a calibration of label audits in the model, got: {error}") from error
        for kind in KINDS:
            if kind not in found.channels or found.channels[kind].features != FEATURES[kind]:
                raise SpecError(
                    f"expected a calibration of {kind} labels by {', '.join(FEATURES[kind])}, got another: the model "
                    "was calibrated by another version; calibrate it again (yoloscope audit --calibrate)"
                )
        if len(found.typical_sizes) != len(spec.class_names):
            raise SpecError(
                f"expected a calibration of {len(spec.class_names)} classes, got {len(found.typical_sizes)}"
            )
        return found

    def probability(self, kind: FindingKind, features: Tensor, prevalence: float | None = None) -> Tensor:
        """Return the probability float64 [n] that a label is wrong in this way (``missing``: that one is missing)."""
        return self.channels[kind].probability(features, prevalence)

    def with_prevalence(self, prevalence: Mapping[FindingKind, float]) -> AuditCalibration:
        """Return a calibration that assumes other shares of errors; raises SpecError where one is out of bounds."""
        low, high = PREVALENCE_BOUNDS
        for kind, value in prevalence.items():
            if not low <= value <= high:
                raise SpecError(f"prevalence of {kind}: expected {low:g} to {high:g}, got {value:g}")
        channels = {
            kind: channel.model_copy(update={"prevalence": prevalence.get(kind, channel.prevalence)})
            for kind, channel in self.channels.items()
        }
        return self.model_copy(update={"channels": channels})


def fit_channel(kind: FindingKind, features: Tensor, positive: Tensor) -> Channel:
    """Fit the logistic model of a kind to features [n, F] of labels and which are in error, bool [n]."""
    standard = _Standard(features)
    share = float(positive.double().mean().clamp(*PREVALENCE_BOUNDS)) if len(positive) else DEFAULT_PREVALENCE
    return Channel(
        **standard.fields(kind, _logistic(standard.values, positive.double())),
        prevalence=DEFAULT_PREVALENCE,
        fitted_prevalence=share,
    )


def fit_missing(features: Tensor, labeled: Tensor, num_labels: int) -> Channel:
    """Fit the channel of missing labels to features [n, F] of detections and which have a label, bool [n]."""
    standard = _Standard(features)
    weights = _logistic(standard.values, labeled.double())
    unlabeled = (standard.values @ weights)[~labeled]
    shares = torch.linspace(0, 1, _QUANTILES + 1, dtype=torch.float64)
    middles = (shares[1:] + shares[:-1]) / 2
    return Channel(
        **standard.fields("missing", weights),
        prevalence=DEFAULT_PREVALENCE,
        unlabeled_logits=tuple(unlabeled.quantile(middles).tolist()) if len(unlabeled) else (),
        unlabeled_per_label=len(unlabeled) / max(num_labels, 1),
    )


class _Standard:
    """Features in units of their spread, with a column of ones."""

    def __init__(self, features: Tensor) -> None:
        values = features.double()
        self.mean = values.mean(0) if len(values) else values.new_zeros(values.shape[1])
        self.scale = values.std(0, unbiased=False) + 1e-6 if len(values) else values.new_ones(values.shape[1])
        ones = values.new_ones(len(values), 1)
        self.values = torch.cat(((values - self.mean) / self.scale, ones), 1)

    def fields(self, kind: FindingKind, weights: Tensor) -> _ModelFields:
        """Return the fields of a channel that fitted weights give."""
        return {
            "features": FEATURES[kind],
            "mean": tuple(self.mean.tolist()),
            "scale": tuple(self.scale.tolist()),
            "weights": tuple(weights[:-1].tolist()),
            "bias": float(weights[-1]),
        }


class _ModelFields(TypedDict):
    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _sigmoid(values: Tensor) -> Tensor:
    """Return the sigmoid; ``Tensor.sigmoid`` rounds the last elements of a tensor otherwise than the others."""
    return 1 / (1 + (-values).exp())


def _logistic(values: Tensor, target: Tensor) -> Tensor:
    """Return the weights of a ridge logistic regression by Newton's method."""
    weights = values.new_zeros(values.shape[1])
    for _ in range(_NEWTON_STEPS):
        probability = (values @ weights).sigmoid()
        gradient = values.T @ (target - probability) - _RIDGE * weights
        curvature = (values * (probability * (1 - probability))[:, None]).T @ values
        step = torch.linalg.solve(curvature + _RIDGE * torch.eye(len(weights), dtype=values.dtype), gradient)
        weights = weights + step
        if float(step.abs().max()) < 1e-9:
            break
    return weights


def expected_calibration_error(probability: Tensor, positive: Tensor, bins: int = 15) -> float:
    """Return the calibration error over bins of equal mass: mean of |share of positives - mean probability|."""
    order = probability.argsort(stable=True)
    total = 0.0
    for rows in torch.tensor_split(order, bins):
        if len(rows):
            gap = positive[rows].double().mean() - probability[rows].double().mean()
            total += float(gap.abs()) * len(rows)
    return total / max(len(order), 1)


def stack(parts: Sequence[Tensor], width: int) -> Tensor:
    """Return feature rows of several batches [n, F], also of none."""
    return torch.cat(list(parts)) if parts else torch.zeros(0, width)

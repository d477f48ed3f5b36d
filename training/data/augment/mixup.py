"""MixUp for detection: two pictures on top of each other, both sets of objects at their share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError
from training.data.augment.geometry import FILL
from training.data.sample import Sample, with_objects_of


def mixup(first: Sample, second: Sample, share: float, fill: int = FILL) -> Sample:
    """Return ``share`` of the first picture plus the rest of the second.

    Both lie at the top left of a canvas that holds either, otherwise ``fill``; no picture is resized. The weights of
    the objects are multiplied by their picture's share, and objects of weight 0 are left out.

    Source: Zhang et al., mixup, 2018, equation 1, and Zhang et al., Bag of Freebies for Training Object Detection
    Neural Networks, 2019, section 3.1 (the canvas).
    """
    width, height = max(first.width, second.width), max(first.height, second.height)
    blend = share * _on_canvas(first, width, height, fill) + (1 - share) * _on_canvas(second, width, height, fill)
    parts = [_at_weight(sample, weight) for sample, weight in ((first, share), (second, 1 - share)) if weight > 0]
    return with_objects_of(np.rint(blend).astype(np.uint8), parts)


@dataclass(frozen=True)
class MixUp:
    """Mix with a share drawn from Beta(alpha, alpha); alpha 0 leaves the first sample as it is."""

    alpha: float = 1.5
    fill: int = FILL

    def __post_init__(self) -> None:
        if self.alpha < 0:
            raise ConfigError(f"expected alpha >= 0, got {self.alpha}")

    def __call__(self, first: Sample, second: Sample, generator: np.random.Generator) -> Sample:
        """Return the mixture of two samples."""
        if self.alpha == 0:
            return first
        return mixup(first, second, float(generator.beta(self.alpha, self.alpha)), self.fill)


def _on_canvas(sample: Sample, width: int, height: int, fill: int) -> NDArray[np.float32]:
    canvas = np.full((height, width, 3), fill, np.float32)
    canvas[: sample.height, : sample.width] = sample.image
    return canvas


def _at_weight(sample: Sample, weight: float) -> Sample:
    return replace(sample, weights=sample.weights * np.float32(weight))

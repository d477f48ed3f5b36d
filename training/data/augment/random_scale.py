"""Zooming in and out without changing the aspect."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.errors import ConfigError
from training.data.augment.geometry import FILL, crop, resize
from training.data.augment.visibility import STANDARD_VISIBILITY, Visibility
from training.data.sample import Sample


@dataclass(frozen=True)
class RandomScale:
    """Zoom by a factor drawn log-uniformly from ``minimum``..``maximum``, keeping the picture's size.

    Above 1 a smaller window of the picture fills the frame; below 1 the picture shrinks into a frame of ``fill``. The
    place is uniform.
    """

    minimum: float = 0.7
    maximum: float = 1.4
    visibility: Visibility = STANDARD_VISIBILITY
    fill: int = FILL

    def __post_init__(self) -> None:
        if not 0 < self.minimum <= self.maximum:
            raise ConfigError(f"expected 0 < minimum <= maximum, got {self.minimum} and {self.maximum}")

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the zoomed sample, of the same size."""
        factor = math.exp(generator.uniform(math.log(self.minimum), math.log(self.maximum)))
        width, height = max(1, round(sample.width / factor)), max(1, round(sample.height / factor))
        place_x, place_y = generator.random(2)
        x, y = round(place_x * (sample.width - width)), round(place_y * (sample.height - height))
        window = crop(sample, (x, y, x + width, y + height), self.visibility, self.fill)
        return resize(window, sample.width, sample.height)

"""Zooming in and out without changing the aspect."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.errors import ConfigError
from training.data.augment.geometry import FILL, crop
from training.data.augment.visibility import STANDARD_VISIBILITY, Visibility
from training.data.sample import Sample


@dataclass(frozen=True)
class RandomScale:
    """Show a window whose sides are 1 / factor of the picture's, the factor log-uniform in ``minimum``..``maximum``.

    Brought to the training size, where everything ends, the picture is zoomed by the factor. Above 1 the window lies
    inside the picture, below 1 the picture lies in a frame of ``fill``; the place is uniform.
    """

    minimum: float = 0.7
    maximum: float = 1.4
    visibility: Visibility = STANDARD_VISIBILITY
    fill: int = FILL

    def __post_init__(self) -> None:
        if not 0 < self.minimum <= self.maximum:
            raise ConfigError(f"expected 0 < minimum <= maximum, got {self.minimum} and {self.maximum}")

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return what the window shows, at the window's size."""
        factor = math.exp(generator.uniform(math.log(self.minimum), math.log(self.maximum)))
        width, height = max(1, round(sample.width / factor)), max(1, round(sample.height / factor))
        place_x, place_y = generator.random(2)
        x, y = round(place_x * (sample.width - width)), round(place_y * (sample.height - height))
        return crop(sample, (x, y, x + width, y + height), self.visibility, self.fill)

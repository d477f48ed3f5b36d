"""Darknet's jitter: every edge of the picture moves in or out on its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.errors import ConfigError
from training.data.augment.geometry import FILL, crop
from training.data.augment.visibility import STANDARD_VISIBILITY, Visibility
from training.data.sample import Sample


@dataclass(frozen=True)
class CropJitter:
    """Move every edge by a uniform share -jitter..jitter of the side, then show that window.

    An edge that moves out uncovers ``fill``. The result has the window's size, so that stretching it to the training
    size changes scale, place and aspect at once. Source: darknet src/data.c, load_data_detection (``jitter``).
    """

    jitter: float = 0.3
    visibility: Visibility = STANDARD_VISIBILITY
    fill: int = FILL

    def __post_init__(self) -> None:
        if not 0 <= self.jitter < 0.5:
            raise ConfigError(f"expected jitter in 0..0.5, 0.5 excluded, got {self.jitter}")

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the jittered sample; at least one pixel of the picture stays."""
        shares = generator.uniform(-self.jitter, self.jitter, 4)
        width, height = sample.width, sample.height
        left, top, right, bottom = (round(s) for s in shares * (width, height, width, height))
        window = left, top, max(width - right, left + 1), max(height - bottom, top + 1)
        return crop(sample, window, self.visibility, self.fill)

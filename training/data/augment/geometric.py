"""Geometric augmentations of one image: flips, darknet's crop jitter, random scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from yoloscope.models.errors import ConfigError
from yoloscope.training.data.augment.geometry import FILL, STANDARD_VISIBILITY, Visibility, crop
from yoloscope.training.data.sample import Sample


def flip_horizontally(sample: Sample) -> Sample:
    """Return the sample mirrored left to right: x becomes W - x; the image is a view, not a copy."""
    boxes = sample.boxes_xyxy_px[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = sample.width - boxes[:, [0, 2]]
    return Sample(sample.image[:, ::-1], boxes, sample.class_ids, sample.weights)


def flip_vertically(sample: Sample) -> Sample:
    """Return the sample mirrored top to bottom: y becomes H - y; the image is a view, not a copy."""
    boxes = sample.boxes_xyxy_px[:, [0, 3, 2, 1]].copy()
    boxes[:, [1, 3]] = sample.height - boxes[:, [1, 3]]
    return Sample(sample.image[::-1], boxes, sample.class_ids, sample.weights)


@dataclass(frozen=True)
class Flip:
    """Random flip, left to right and top to bottom, each with its own probability (darknet: .5 and 0)."""

    horizontal: float = 0.5
    vertical: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.horizontal <= 1 and 0 <= self.vertical <= 1):
            raise ConfigError(f"expected flip probabilities in 0..1, got {self.horizontal} and {self.vertical}")

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the sample, mirrored or not."""
        across, down = generator.random(2)
        if across < self.horizontal:
            sample = flip_horizontally(sample)
        return flip_vertically(sample) if down < self.vertical else sample


@dataclass(frozen=True)
class CropJitter:
    """Random crop: every edge moves in or out by a uniform share -jitter..jitter of the side.

    An edge that moves out uncovers ``fill``. The result keeps the window's size, so that stretching it to the training
    size changes scale, place and aspect at once. Source: darknet src/data.c, load_data_detection (``jitter``).
    """

    jitter: float = 0.3
    visibility: Visibility = STANDARD_VISIBILITY
    fill: int = FILL

    def __post_init__(self) -> None:
        if not 0 <= self.jitter < 0.5:
            raise ConfigError(f"expected jitter in 0..0.5, 0.5 excluded, got {self.jitter}")

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the jittered sample; at least one pixel of the image stays."""
        shares = generator.uniform(-self.jitter, self.jitter, 4)
        width, height = sample.width, sample.height
        left, top, right, bottom = (round(s) for s in shares * (width, height, width, height))
        window = left, top, max(width - right, left + 1), max(height - bottom, top + 1)
        return crop(sample, window, self.visibility, self.fill)


@dataclass(frozen=True)
class RandomScale:
    """Random zoom without change of aspect: a window of 1 / factor of the sides, factor log-uniform in a range.

    Brought to the training size, where everything ends, the image is zoomed by the factor. Above 1 the window lies
    inside the image, below 1 the image lies in a frame of ``fill``; the place is uniform.
    """

    minimum: float = 0.7
    maximum: float = 1.4
    visibility: Visibility = STANDARD_VISIBILITY
    fill: int = FILL

    def __post_init__(self) -> None:
        if not 0 < self.minimum <= self.maximum:
            raise ConfigError(f"expected 0 < minimum <= maximum, got {self.minimum} and {self.maximum}")

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the zoomed sample, at the window's size."""
        factor = math.exp(generator.uniform(math.log(self.minimum), math.log(self.maximum)))
        width, height = max(1, round(sample.width / factor)), max(1, round(sample.height / factor))
        place_x, place_y = generator.random(2)
        x, y = round(place_x * (sample.width - width)), round(place_y * (sample.height - height))
        return crop(sample, (x, y, x + width, y + height), self.visibility, self.fill)

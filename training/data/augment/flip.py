"""Mirroring: the picture is a mirrored view, of which whoever reads it makes the only copy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.errors import ConfigError
from training.data.sample import Sample


def flip_horizontally(sample: Sample) -> Sample:
    """Return the sample mirrored left to right: x becomes W - x."""
    boxes = sample.boxes_xyxy_px[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = sample.width - boxes[:, [0, 2]]
    return Sample(sample.image[:, ::-1], boxes, sample.class_ids, sample.weights)


def flip_vertically(sample: Sample) -> Sample:
    """Return the sample mirrored top to bottom: y becomes H - y."""
    boxes = sample.boxes_xyxy_px[:, [0, 3, 2, 1]].copy()
    boxes[:, [1, 3]] = sample.height - boxes[:, [1, 3]]
    return Sample(sample.image[::-1], boxes, sample.class_ids, sample.weights)


@dataclass(frozen=True)
class Flip:
    """Mirror left to right and top to bottom, each with its own probability (darknet: .5 and 0)."""

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

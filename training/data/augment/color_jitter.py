"""Color jitter: hue, saturation and exposure, as darknet distorts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.errors import ConfigError
from yoloscope.training.data.sample import Sample

_SEXTANT_OF_CHANNEL = (5.0, 3.0, 1.0)
_LEVELS = np.float32(255)


def shift_hsv(
    image: NDArray[np.uint8], hue_shift: float, saturation_factor: float, exposure_factor: float
) -> NDArray[np.uint8]:
    """Return [H, W, 3] RGB with its hue turned by ``hue_shift`` turns and saturation and value multiplied.

    Saturation and value stop at 1. Nothing is rounded between RGB and RGB, so that (0, 1, 1) is the identity.
    """
    red, green, blue = np.moveaxis(image, 2, 0).astype(np.float32, order="C")
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    hue = _hue_in_sextants(red, green, blue, value, chroma)
    hue += np.float32(6 * (hue_shift % 1))
    saturation = chroma / np.maximum(value, 1)
    new_value = np.minimum(value * np.float32(exposure_factor), _LEVELS)
    new_chroma = new_value * np.minimum(saturation * np.float32(saturation_factor), 1)
    shifted = np.empty(image.shape, np.uint8)
    for channel, sextant in enumerate(_SEXTANT_OF_CHANNEL):
        position = hue + np.float32(sextant)
        position -= 6 * np.floor(position / 6)
        slope = np.clip(np.minimum(position, 4 - position), 0, 1)
        shifted[..., channel] = np.rint(new_value - new_chroma * slope)
    return shifted


def _hue_in_sextants(
    red: NDArray[np.float32],
    green: NDArray[np.float32],
    blue: NDArray[np.float32],
    value: NDArray[np.float32],
    chroma: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return hue as 0..6 (or just below 0, the same angle), 0 where there is no color.

    The channel that is the largest is selected by products with 0 and 1: NumPy's ``where`` takes twenty times as long
    on masks without a pattern.
    """
    by_red = (value == red).astype(np.float32)
    by_green = (value == green).astype(np.float32) * (1 - by_red)
    by_blue = 1 - by_red - by_green
    hue: NDArray[np.float32] = (green - blue) * by_red + (blue - red) * by_green + (red - green) * by_blue
    hue /= np.maximum(chroma, 1)
    hue += 2 * by_green + 4 * by_blue
    return hue


@dataclass(frozen=True)
class ColorJitter:
    """Turn the hue by up to ``hue`` turns either way; multiply or divide saturation and value by up to their factor.

    A factor f gives uniform(1, f) or, as often, its reciprocal. Defaults and source: darknet src/image.c,
    random_distort_image and src/utils.c, rand_scale, with the values of yolov4.cfg.
    """

    hue: float = 0.1
    saturation: float = 1.5
    exposure: float = 1.5

    def __post_init__(self) -> None:
        if not (0 <= self.hue <= 0.5 and self.saturation >= 1 and self.exposure >= 1):
            raise ConfigError(
                "expected hue in 0..0.5, saturation and exposure >= 1, "
                f"got {self.hue}, {self.saturation} and {self.exposure}"
            )

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the sample in other colors; the boxes stay."""
        shift = generator.uniform(-self.hue, self.hue)
        saturation = _factor_or_reciprocal(self.saturation, generator)
        exposure = _factor_or_reciprocal(self.exposure, generator)
        return sample.with_image(shift_hsv(sample.image, shift, saturation, exposure))


def _factor_or_reciprocal(largest: float, generator: np.random.Generator) -> float:
    factor = generator.uniform(1, largest)
    return float(factor if generator.random() < 0.5 else 1 / factor)

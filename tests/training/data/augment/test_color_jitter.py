"""Colors against the standard library's HSV, and the draws of darknet's distortion."""

from __future__ import annotations

import colorsys
import itertools

import numpy as np
import pytest

from tests.training.data.augment.scenes import random_sample, same
from yoloscope.models.errors import ConfigError
from yoloscope.training.data.augment.color_jitter import ColorJitter, shift_hsv

LEVELS = np.array(list(itertools.product((0, 1, 37, 128, 200, 254, 255), repeat=3)), np.uint8)[None]


def _reference(image: np.ndarray, shift: float, saturation: float, exposure: float) -> np.ndarray:
    rows = []
    for red, green, blue in image.reshape(-1, 3) / 255:
        h, s, v = colorsys.rgb_to_hsv(red, green, blue)
        rows.append(colorsys.hsv_to_rgb((h + shift) % 1, min(s * saturation, 1), min(v * exposure, 1)))
    return np.array(rows).reshape(image.shape) * 255


@pytest.mark.parametrize(
    ("shift", "saturation", "exposure"),
    [(0, 1, 1), (0.1, 1, 1), (-0.37, 1, 1), (0, 1.5, 1), (0, 0.5, 1), (0, 1, 1.5), (0, 1, 0.4), (0.5, 1.3, 0.7)],
)
def test_every_shift_equals_the_standard_library(shift: float, saturation: float, exposure: float) -> None:
    got = shift_hsv(LEVELS, shift, saturation, exposure).astype(np.float64)
    assert np.abs(got - _reference(LEVELS, shift, saturation, exposure)).max() <= 0.5 + 1e-3


def test_no_shift_is_the_identity_for_every_color() -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (200, 200, 3)).astype(np.uint8)
    assert np.array_equal(shift_hsv(image, 0, 1, 1), image)
    assert np.array_equal(shift_hsv(LEVELS, 1, 1, 1), LEVELS)


def test_turning_red_by_a_third_gives_green() -> None:
    red = np.array([[[200, 0, 0]]], np.uint8)
    assert shift_hsv(red, 1 / 3, 1, 1).tolist() == [[[0, 200, 0]]]
    assert shift_hsv(red, -1 / 3, 1, 1).tolist() == [[[0, 0, 200]]]


def test_gray_has_no_hue_and_saturation_zero_makes_gray() -> None:
    gray = np.full((2, 2, 3), 77, np.uint8)
    assert np.array_equal(shift_hsv(gray, 0.4, 1.5, 1), gray)
    assert shift_hsv(np.array([[[200, 100, 0]]], np.uint8), 0, 0, 1).tolist() == [[[200, 200, 200]]]


def test_strength_zero_is_the_identity_and_boxes_stay() -> None:
    sample = random_sample(3, 12, 9, 4)
    assert same(ColorJitter(0, 1, 1)(sample, np.random.default_rng(0)), sample)
    jittered = ColorJitter()(sample, np.random.default_rng(0))
    assert np.array_equal(jittered.boxes_xyxy_px, sample.boxes_xyxy_px)
    assert not np.array_equal(jittered.image, sample.image)


def test_factors_are_as_often_above_one_as_below() -> None:
    """A flat image of 100 shows the exposure factor: half of 2000 draws in 100..150, half in 67..100."""
    sample = random_sample(0, 1, 1, 0).with_image(np.full((1, 1, 3), 100, np.uint8))
    generator = np.random.default_rng(0)
    levels = np.array([int(ColorJitter()(sample, generator).image[0, 0, 0]) for _ in range(2000)])
    assert (levels.min(), levels.max()) == (67, 150)
    assert (levels > 100).mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("options", [(-0.1, 1, 1), (0.6, 1, 1), (0, 0.9, 1), (0, 1, 0.9)])
def test_impossible_strengths_are_refused(options: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError):
        ColorJitter(*options)

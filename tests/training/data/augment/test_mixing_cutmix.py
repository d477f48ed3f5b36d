"""CutMix boxes and pixels, derived by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.data.augment.scenes import flat, random_sample, same
from yoloscope.models.errors import ConfigError
from yoloscope.training.data.augment.geometry import Visibility
from yoloscope.training.data.augment.mixing import CutMix, cutmix

PATCH = (40, 20, 80, 60)


def test_pixels_come_from_the_donor_inside_the_patch_alone() -> None:
    image = cutmix(flat(100, 80, 1), flat(100, 80, 9), PATCH, Visibility()).image
    assert (image[20:60, 40:80] == 9).all()
    assert (image == 9).sum() == 40 * 40 * 3


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((0, 0, 20, 20), (0, 0, 20, 20)),  # outside
        ((45, 25, 75, 55), None),  # wholly covered
        ((38, 18, 80, 60), None),  # all but two strips of 2 px: 164 of 1764, though the frame is whole
        ((30, 30, 80, 50), None),  # 200 of 1000 visible: under .25
        ((20, 30, 60, 50), (20, 30, 40, 50)),  # right half covered from edge to edge: the frame shrinks
        ((20, 0, 60, 40), (20, 0, 60, 40)),  # a quarter covered at a corner: the frame stays
        ((40, 0, 80, 80), (40, 0, 80, 80)),  # a band in the middle, half of the area left
    ],
)
def test_objects_of_the_base_by_hand(box: tuple[int, ...], kept: tuple[int, ...] | None) -> None:
    got = cutmix(flat(100, 80, 0, [box], [3]), flat(100, 80, 0), PATCH, Visibility(0.25, 2))
    assert got.boxes_xyxy_px.tolist() == ([list(kept)] if kept else [])


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((50, 30, 60, 40), (50, 30, 60, 40)),  # inside
        ((0, 0, 20, 20), None),  # outside
        ((20, 30, 60, 50), (40, 30, 60, 50)),  # half inside
        ((10, 30, 50, 50), (40, 30, 50, 50)),  # 200 of 800 inside: just .25
        ((9, 30, 50, 50), None),  # 200 of 820
        ((70, 50, 90, 90), None),  # 100 of 800
    ],
)
def test_objects_of_the_donor_by_hand(box: tuple[int, ...], kept: tuple[int, ...] | None) -> None:
    got = cutmix(flat(100, 80, 0), flat(100, 80, 0, [box], [3]), PATCH, Visibility(0.25, 2))
    assert got.boxes_xyxy_px.tolist() == ([list(kept)] if kept else [])


def test_a_donor_of_another_size_is_stretched_first() -> None:
    got = cutmix(flat(100, 80, 0), flat(50, 40, 9, [[25, 15, 30, 20]], [7]), PATCH, Visibility())
    assert got.boxes_xyxy_px.tolist() == [[50, 30, 60, 40]]
    assert got.class_ids.tolist() == [7]
    assert got.image.shape == (80, 100, 3)


def test_the_patch_has_the_drawn_share_on_average() -> None:
    """For alpha 1 lambda is uniform; without the cut at the border the mean share would be 1/2, with it less."""
    black, white = flat(60, 60, 0), flat(60, 60, 1)
    generator = np.random.default_rng(0)
    shares = [CutMix()(black, white, generator).image.mean() for _ in range(2000)]
    # One axis: a patch of side s around a uniform center shows s - s^2 / 4 of the unit; s^2 is uniform, so the share
    # has the mean of (s - s^2 / 4)^2 = s^2 - s^3 / 2 + s^4 / 16: 1/2 - 1/5 + 1/48.
    assert np.mean(shares) == pytest.approx(1 / 2 - 1 / 5 + 1 / 48, abs=0.02)


def test_alpha_zero_is_the_identity() -> None:
    base = random_sample(1, 20, 20, 4)
    assert same(CutMix(0)(base, random_sample(2, 20, 20, 4), np.random.default_rng(0)), base)


def test_a_negative_alpha_is_refused() -> None:
    with pytest.raises(ConfigError, match="got -1"):
        CutMix(-1)

"""Windows, resizing, mirroring and zooming by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.data.augment.scenes import flat, random_sample, same
from yoloscope.models.errors import ConfigError
from yoloscope.training.data.augment.geometric import CropJitter, Flip, RandomScale, flip_horizontally, flip_vertically
from yoloscope.training.data.augment.geometry import Visibility, crop, resize

KEEP_ALL = Visibility(0, 0)


def test_mirroring_by_hand() -> None:
    sample = flat(100, 50, 0, [[10, 5, 30, 20]], [2])
    assert flip_horizontally(sample).boxes_xyxy_px.tolist() == [[70, 5, 90, 20]]
    assert flip_vertically(sample).boxes_xyxy_px.tolist() == [[10, 30, 30, 45]]


@pytest.mark.parametrize("flip", [flip_horizontally, flip_vertically])
def test_mirroring_twice_is_the_identity(flip: object) -> None:
    assert callable(flip)
    sample = flat(64, 32, 0, [[10.5, 5.25, 30, 20]], [2]).with_image(random_sample(0, 64, 32, 0).image)
    assert same(flip(flip(sample)), sample)
    assert not same(flip(sample), sample)


def test_flips_happen_with_their_probability() -> None:
    sample = random_sample(0, 8, 8, 1)
    generator = np.random.default_rng(0)
    flip = Flip(0.5, 0)
    changed = [not np.array_equal(flip(sample, generator).image, sample.image) for _ in range(1000)]
    assert np.mean(changed) == pytest.approx(0.5, abs=0.05)
    assert same(Flip(1, 1)(sample, generator), flip_vertically(flip_horizontally(sample)))
    assert same(Flip(0, 0)(sample, generator), sample)
    with pytest.raises(ConfigError, match=r"1.5"):
        Flip(1.5)


def test_crop_inside_by_hand() -> None:
    image = random_sample(0, 20, 10, 0).image
    sample = flat(20, 10, 0, [[0, 0, 8, 8], [10, 2, 12, 4], [18, 0, 20, 2]], [0, 1, 2]).with_image(image)
    got = crop(sample, (4, 1, 14, 9), KEEP_ALL)
    assert np.array_equal(got.image, image[1:9, 4:14])
    assert got.boxes_xyxy_px.tolist() == [[0, 0, 4, 7], [6, 1, 8, 3]]
    assert got.class_ids.tolist() == [0, 1]
    assert crop(sample, (4, 1, 14, 9), Visibility(0.5, 2)).class_ids.tolist() == [1]


def test_crop_beyond_the_image_fills() -> None:
    got = crop(flat(4, 4, 9, [[1, 1, 3, 3]], [0]), (-2, -1, 6, 5), KEEP_ALL, fill=127)
    assert got.image.shape == (6, 8, 3)
    assert (got.image[1:5, 2:6] == 9).all()
    assert (got.image == 9).sum() == 16 * 3
    assert got.boxes_xyxy_px.tolist() == [[3, 2, 5, 4]]


def test_resize_by_hand() -> None:
    got = resize(flat(20, 10, 7, [[5, 2, 10, 5]], [0]), 40, 5)
    assert got.image.shape == (5, 40, 3)
    assert (got.image == 7).all()
    assert got.boxes_xyxy_px.tolist() == [[10, 1, 20, 2.5]]


def test_crop_jitter_windows_have_the_drawn_spread() -> None:
    """A side of 100 becomes 100 - (left + right), two uniforms of -30..30: 40..160, variance 2 * 60^2 / 12."""
    sample, generator = flat(100, 200, 0), np.random.default_rng(0)
    sizes = [CropJitter(0.3)(sample, generator) for _ in range(2000)]
    widths = np.array([s.width for s in sizes])
    assert 40 <= widths.min() < 50
    assert 150 < widths.max() <= 160
    assert widths.mean() == pytest.approx(100, abs=2)
    assert widths.var() == pytest.approx(600, rel=0.1)
    heights = np.array([s.height for s in sizes])
    assert heights.var() == pytest.approx(2400, rel=0.1)
    assert abs(np.corrcoef(widths, heights)[0, 1]) < 0.1


def test_zooming_by_hand() -> None:
    """Out by 2: 100 x 80 in a frame of 200 x 160. In by 2: a window of 50 x 40, uniform over the 50 x 40 to spare."""
    sample, generator = flat(100, 80, 9, [[0, 0, 100, 80]], [0]), np.random.default_rng(1)
    shrunk = RandomScale(0.5, 0.5, KEEP_ALL, fill=0)(sample, generator)
    assert (shrunk.width, shrunk.height) == (200, 160)
    x1, y1, x2, y2 = shrunk.boxes_xyxy_px[0].astype(int)
    assert (x2 - x1, y2 - y1) == (100, 80)
    assert (shrunk.image[y1:y2, x1:x2] == 9).all()
    assert (shrunk.image == 9).sum() == 100 * 80 * 3
    marked = flat(100, 80, 9, [[40, 30, 60, 50]], [0])
    corners = np.array([RandomScale(2, 2, KEEP_ALL)(marked, generator).boxes_xyxy_px[0] for _ in range(500)])
    assert (corners.min(axis=0) == [0, 0, 10, 10]).all()
    assert (corners.max(axis=0) == [40, 30, 50, 40]).all()
    factors = [100 / RandomScale(0.5, 2, KEEP_ALL)(sample, generator).width for _ in range(1000)]
    assert np.log(factors).mean() == pytest.approx(0, abs=0.05)
    assert np.ptp(np.log(factors)) == pytest.approx(np.log(4), abs=0.05)


@pytest.mark.parametrize("identity", [CropJitter(0), RandomScale(1, 1), Flip(0, 0)])
def test_strength_zero_is_the_identity(identity: CropJitter | RandomScale | Flip) -> None:
    sample = random_sample(5, 33, 21, 6)
    assert same(identity(sample, np.random.default_rng(0)), sample)


def test_impossible_strengths_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"0.5"):
        CropJitter(0.5)
    with pytest.raises(ConfigError, match=r"got 2 and 1"):
        RandomScale(2, 1)

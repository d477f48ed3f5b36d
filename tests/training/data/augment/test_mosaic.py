"""Mosaic boxes and pixels, derived by hand."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from tests.training.data.augment.scenes import flat, random_sample
from yoloscope.models.errors import ConfigError
from yoloscope.models.resize import resize_corner_aligned, to_whole_levels
from yoloscope.training.data.augment.geometry import Visibility
from yoloscope.training.data.augment.mosaic import Mosaic, mosaic_tiles

CORNER = np.zeros((4, 2))
KEEP_ALL = Visibility(0, 0)


def test_tiles_partition_the_output() -> None:
    assert mosaic_tiles(100, 80, 30, 50) == ((0, 0, 30, 50), (30, 0, 100, 50), (0, 50, 30, 80), (30, 50, 100, 80))


def test_every_tile_shows_its_image() -> None:
    mosaic = Mosaic(10, 8)
    image = mosaic.compose([flat(10, 8, level) for level in (10, 20, 30, 40)], 3, 5, CORNER).image
    assert image.shape == (8, 10, 3)
    assert (image[:5, :3] == 10).all()
    assert (image[:5, 3:] == 20).all()
    assert (image[5:, :3] == 30).all()
    assert (image[5:, 3:] == 40).all()


def test_boxes_by_hand_from_the_top_left_corner() -> None:
    """Cut at (40, 60) of 100 x 100. Images of 50 x 100 are stretched by (2, 1), windows start at (0, 0)."""
    images = [
        flat(50, 100, 0, [[10, 50, 30, 70]], [1]),  # x 20..60, y 50..70, cut to 20..40, 50..60: 200 of 800
        flat(50, 100, 0, [[10, 50, 30, 70]], [2]),  # x 20..60 + 40, y 50..60: 400 of 800
        flat(50, 100, 0, [[10, 50, 30, 70]], [3]),  # y 50..70 lies below the window of 40 rows: gone
        flat(50, 100, 0, [[5, 5, 10, 15]], [4]),  # x 10..20 + 40, y 5..15 + 60: whole
    ]
    got = Mosaic(100, 100, visibility=Visibility(0.25, 2)).compose(images, 40, 60, CORNER)
    assert got.class_ids.tolist() == [1, 2, 4]
    assert got.boxes_xyxy_px.tolist() == [[20, 50, 40, 60], [60, 50, 100, 60], [50, 65, 60, 75]]
    stricter = Mosaic(100, 100, visibility=Visibility(0.26, 2)).compose(images, 40, 60, CORNER)
    assert stricter.class_ids.tolist() == [2, 4]


def test_boxes_by_hand_from_the_far_corner() -> None:
    """Place (1, 1) shows the bottom right of each image: 100 x 100, cut at (40, 60)."""
    images = [flat(100, 100, 0, [[90, 80, 100, 100]], [i]) for i in range(4)]
    got = Mosaic(100, 100, visibility=KEEP_ALL).compose(images, 40, 60, np.ones((4, 2)))
    assert got.boxes_xyxy_px.tolist() == [[30, 40, 40, 60], [90, 40, 100, 60], [30, 80, 40, 100], [90, 80, 100, 100]]


def test_cover_keeps_the_aspect() -> None:
    """50 x 100 into 100 x 100 is scaled by 2 both ways; at place (0, .5) the window of 60 rows starts at row 70."""
    image = flat(50, 100, 0, [[0, 40, 10, 60]], [0])
    mosaic = Mosaic(100, 100, placement="cover", visibility=KEEP_ALL)
    got = mosaic.compose([image, *[flat(9, 9, 0)] * 3], 40, 60, np.array([[0, 0.5], [0, 0], [0, 0], [0, 0]]))
    assert got.boxes_xyxy_px.tolist() == [[0, 10, 20, 50]]


@pytest.mark.parametrize("interpolation", ["antialiased", "corner_aligned"])
def test_pixels_move_with_their_boxes(interpolation: Literal["antialiased", "corner_aligned"]) -> None:
    """A white square on black is still what its box frames, at a scale of 1."""
    sample = flat(64, 64, 0, [[20, 30, 40, 44]], [0])
    image = sample.image.copy()
    image[30:44, 20:40] = 255
    marked = sample.with_image(image)
    mosaic = Mosaic(64, 64, interpolation=interpolation, visibility=KEEP_ALL)
    got = mosaic.compose([marked] * 4, 32, 32, np.full((4, 2), 0.5))
    frames = np.zeros((64, 64), np.bool_)
    for x1, y1, x2, y2 in got.boxes_xyxy_px.astype(int):
        frames[y1:y2, x1:x2] = True
    assert len(got) == 4
    assert np.array_equal(frames, got.image[..., 0] == 255)


def test_corner_aligned_tiles_are_windows_of_the_placed_image() -> None:
    """The very pixels that the network sees at inference, at whole offsets: .5 of 64 - 24 and 64 - 40 rows."""
    images = [random_sample(seed, 40, 50, 3) for seed in range(4)]
    mosaic = Mosaic(64, 64, interpolation="corner_aligned", visibility=KEEP_ALL)
    got = mosaic.compose(images, 32, 24, np.full((4, 2), 0.5))
    placed = [to_whole_levels(resize_corner_aligned(image.image, 64, 64)) for image in images]
    assert np.array_equal(got.image[:24, :32], placed[0][20:44, 16:48])
    assert np.array_equal(got.image[24:, 32:], placed[3][12:52, 16:48])


def test_the_cut_lies_in_its_bounds_and_reaches_them() -> None:
    """Four flat images of different gray show where the cut was."""
    mosaic, generator = Mosaic(100, 100), np.random.default_rng(0)
    levels = [flat(10, 10, level) for level in (0, 1, 2, 3)]
    cuts = [int((mosaic(levels, generator).image[0, :, 0] == 0).sum()) for _ in range(300)]
    assert 20 <= min(cuts) <= 22
    assert 78 <= max(cuts) <= 80


def test_classes_and_weights_follow_their_boxes() -> None:
    images = [random_sample(seed, 30, 20, 3) for seed in range(4)]
    got = Mosaic(40, 40, visibility=KEEP_ALL)(images, np.random.default_rng(5))
    assert set(got.class_ids.tolist()) <= {int(c) for p in images for c in p.class_ids}
    assert (got.weights == 1).all()


def test_anything_but_four_samples_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 3"):
        Mosaic(10, 10)([flat(4, 4, 0)] * 3, np.random.default_rng(0))


@pytest.mark.parametrize("options", [{"cut_low": 0.9}, {"cut_high": 1.1}, {"width": 1}])
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Mosaic(**{"width": 10, "height": 10, **options})  # type: ignore[arg-type]

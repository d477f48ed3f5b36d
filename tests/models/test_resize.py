"""Parts and views of corner-aligned resizing are the very values of the whole."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from yoloscope.models.resize import resize_antialiased, resize_corner_aligned

Resize = Callable[[NDArray[np.uint8], int, int], NDArray[np.float32]]
SOURCES = [(50, 70), (9, 7), (1, 1), (40, 900), (24, 32)]


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * 31 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("window", [(0, 0, 32, 24), (3, 5, 30, 6), (31, 23, 32, 24), (0, 7, 16, 24), (4, 4, 4, 9)])
def test_a_window_is_that_part_of_the_whole(source: tuple[int, int], window: tuple[int, int, int, int]) -> None:
    image = noise(*source)
    x1, y1, x2, y2 = window
    part = resize_corner_aligned(image, 32, 24, window)
    np.testing.assert_array_equal(part, resize_corner_aligned(image, 32, 24)[y1:y2, x1:x2])
    assert not np.shares_memory(part, image)


@pytest.mark.parametrize("resize", [resize_corner_aligned, resize_antialiased])
@pytest.mark.parametrize("source", SOURCES)
def test_views_are_taken_as_they_look(resize: Resize, source: tuple[int, int]) -> None:
    image = noise(*source)
    views = image[:, ::-1], image[::-1], image[::-1, ::-1], image[source[0] // 3 :, source[1] // 2 :], image[..., ::-1]
    for view in (*views, image[:, ::2], np.asfortranarray(image), image[:, ::-3]):
        np.testing.assert_array_equal(resize(view, 32, 24), resize(view.copy(order="C"), 32, 24))


def test_columns_far_apart_are_read_alone() -> None:
    """1000 columns to 3: the first, the one in the middle (an average of two) and the last."""
    image = np.repeat(np.arange(1000, dtype=np.uint16)[None, :, None] % 256, 3, axis=2).astype(np.uint8)
    assert resize_corner_aligned(image, 3, 1)[0, :, 0].tolist() == [0, 243.5, 999 % 256]


def test_a_large_image_is_smoothed_plane_by_plane_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(40, 900)
    at_once = resize_antialiased(image, 32, 24)
    monkeypatch.setattr("yoloscope.models.resize.MAX_VALUES_AT_ONCE", 0)
    np.testing.assert_array_equal(resize_antialiased(image, 32, 24), at_once)
    np.testing.assert_array_equal(resize_antialiased(image[:, ::-1], 32, 24), at_once[:, ::-1])

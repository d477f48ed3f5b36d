"""Cut boxes by hand: clipping, what an opaque window leaves, and which boxes stay."""

from __future__ import annotations

import numpy as np
import pytest

from yoloscope.models.errors import ConfigError
from yoloscope.training.data.augment.geometry import Visibility, box_areas, clip_boxes, uncovered_boxes

WINDOW = (10, 10, 20, 30)


@pytest.mark.parametrize(
    ("box", "clipped", "area"),
    [
        ((12, 12, 14, 15), (12, 12, 14, 15), 6),
        ((0, 0, 15, 20), (10, 10, 15, 20), 50),
        ((0, 0, 100, 100), (10, 10, 20, 30), 200),
        ((0, 0, 5, 5), (10, 10, 10, 10), 0),
        ((30, 12, 40, 14), (20, 12, 20, 14), 0),
    ],
)
def test_clipping_by_hand(box: tuple[int, ...], clipped: tuple[int, ...], area: float) -> None:
    got = clip_boxes(np.array([box], np.float32), WINDOW)
    assert got.tolist() == [list(clipped)]
    assert box_areas(got).tolist() == [area]


@pytest.mark.parametrize(
    ("box", "left"),
    [
        ((0, 12, 15, 20), (0, 12, 10, 20)),  # right side covered from edge to edge
        ((15, 12, 40, 20), (20, 12, 40, 20)),  # left side
        ((12, 0, 18, 15), (12, 0, 18, 10)),  # bottom
        ((12, 25, 18, 50), (12, 30, 18, 50)),  # top
        ((0, 0, 15, 15), (0, 0, 15, 15)),  # a corner alone: the frame stays
        ((0, 12, 40, 20), (0, 12, 40, 20)),  # a band in the middle: both ends are left
        ((30, 30, 40, 40), (30, 30, 40, 40)),  # untouched
        ((0, 10, 10, 30), (0, 10, 10, 30)),  # touching edges only
    ],
)
def test_what_an_opaque_window_leaves_by_hand(box: tuple[int, ...], left: tuple[int, ...]) -> None:
    assert uncovered_boxes(np.array([box], np.float32), WINDOW).tolist() == [list(left)]


def test_a_box_wholly_covered_loses_its_area() -> None:
    assert box_areas(uncovered_boxes(np.array([[12, 12, 14, 14], [10, 10, 20, 30]], np.float32), WINDOW)).tolist() == [
        0,
        0,
    ]


def test_uncovered_boxes_equal_a_count_of_pixels() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        low = generator.integers(0, 12, (2, 2))
        (x1, y1, x2, y2), window = ((*corner, *(corner + generator.integers(1, 8, 2))) for corner in (low[0], low[1]))
        visible = np.zeros((20, 20), np.bool_)
        visible[y1:y2, x1:x2] = True
        visible[window[1] : window[3], window[0] : window[2]] = False
        got = uncovered_boxes(np.array([[x1, y1, x2, y2]], np.float32), window)
        if visible.any():
            rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
            assert got.tolist() == [[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]
        else:
            assert box_areas(got)[0] == 0


def test_boxes_stay_by_area_share_and_side() -> None:
    before = np.array([[0, 0, 10, 10]] * 5, np.float32)
    after = np.array([[0, 0, 10, 2], [0, 0, 10, 1.9], [0, 0, 10, 10], [0, 0, 3, 10], [5, 5, 5, 9]], np.float32)
    assert Visibility(0.2, 2).rows(before, after).tolist() == [True, False, True, True, False]
    assert Visibility(0.2, 4).rows(before, after).tolist() == [False, False, True, False, False]
    assert Visibility(0, 0).rows(before, after).tolist() == [True, True, True, True, False]


def test_an_uncut_box_stays_however_small() -> None:
    tiny = np.array([[1, 1, 1.5, 1.5]], np.float32)
    assert Visibility(1, 10).rows(tiny, tiny).tolist() == [True]


def test_no_boxes_are_no_rows() -> None:
    none = np.zeros((0, 4), np.float32)
    assert Visibility().rows(none, clip_boxes(none, WINDOW)).shape == (0,)
    assert uncovered_boxes(none, WINDOW).shape == (0, 4)


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"got 1.5"):
        Visibility(1.5)

"""Ranges from histograms that can be worked out by hand."""

import numpy as np
import pytest

from yoloscope.training.export.quantization.ranges import METHODS, Histogram, choose_ranges, relative_error


def histogram(low: float, high: float, counts: list[int]) -> Histogram:
    return Histogram(low, high, np.array(counts, np.int64))


def _range(of: Histogram, method: str) -> tuple[float, float]:
    (chosen,) = (name for name in METHODS if name == method)
    return choose_ranges({"x": of}, chosen)["x"]


def test_extremes_clip_nothing_and_hold_zero() -> None:
    assert _range(histogram(-1, 3, [1, 1]), "extremes") == (-1, 3)
    assert _range(histogram(2, 3, [1, 1]), "extremes") == (0, 3)
    assert _range(histogram(-3, -2, [1, 1]), "extremes") == (-3, 0)


def test_percentile_leaves_half_of_a_ten_thousandth_at_each_end() -> None:
    """Of 40000 values two may go at each end: one in the outermost bin goes with it, three stay."""
    assert _range(histogram(-4, 4, [1, 3, 39_993, 2, 1]), "percentile") == pytest.approx((-2.4, 4 - 1.6))


def test_least_error_gives_up_an_outlier_for_finer_steps() -> None:
    counts = [1_000_000] * 8 + [0] * 991 + [1]
    of = histogram(0, 100, counts)
    low, high = _range(of, "least_squares")
    assert low == 0
    assert 0.8 < high < 100
    assert relative_error(of, low, high) < relative_error(of, 0, 100)


def test_a_higher_power_clips_less() -> None:
    of = histogram(0, 100, [10_000] * 8 + [0] * 991 + [1])
    assert _range(of, "least_squares")[1] < _range(of, "least_power")[1]


def test_whole_levels_are_kept_exactly() -> None:
    assert relative_error(histogram(-0.5, 255.5, [1] * 256), 0, 255) == 0
    assert relative_error(histogram(-100.5, 155.5, [1] * 256), -100, 155) == pytest.approx(0, abs=1e-12)


def test_clipping_to_half_of_one_value_is_the_error_of_that_half() -> None:
    """All values are 2, the range ends at 1: the square of a half."""
    assert relative_error(histogram(1.5, 2.5, [7]), 0, 1) == pytest.approx(0.5**2)


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_of_zeros_has_an_empty_range_and_no_error(method: str) -> None:
    zeros = histogram(0, 0, [5, 0, 0])
    assert _range(zeros, method) == (0, 0)
    assert relative_error(zeros, 0, 0) == 0

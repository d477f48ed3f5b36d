"""From histograms to the ranges that 8 bits cover."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.export.histograms import Histogram

RangeMethod: TypeAlias = Literal["least_squares", "least_power", "percentile", "extremes"]
METHODS: Final[tuple[RangeMethod, ...]] = ("least_squares", "least_power", "percentile", "extremes")
Range: TypeAlias = tuple[float, float]

LEVELS: Final = 255
_POWER: Final = 2.5
_TAIL: Final = 0.5e-4
_SHARES: Final = np.linspace(1.0, 0.2, 41)
_ROUNDS: Final = 3


def choose_ranges(histograms: dict[str, Histogram], method: RangeMethod) -> dict[str, Range]:
    """Return for each tensor the range (low <= 0 <= high) that is quantised; values beyond it are clipped.

    ``extremes`` clips nothing, ``percentile`` half of 1e-4 of the values at each end, ``least_squares`` what makes the
    mean square error of rounding and clipping smallest, ``least_power`` the same of ``|error| ** 2.5``, which clips
    less: confident detections stand at the end of the range.
    """
    choices: dict[RangeMethod, Callable[[Histogram], Range]] = {
        "least_squares": partial(_least_error, exponent=2.0),
        "least_power": partial(_least_error, exponent=_POWER),
        "percentile": _percentile,
        "extremes": _extremes,
    }
    return {name: choices[method](histogram) for name, histogram in histograms.items()}


def relative_error(histogram: Histogram, low: float, high: float) -> float:
    """Return the mean square error of 8-bit quantisation from low <= 0 to high >= 0, over that of the values."""
    magnitude = float(np.average(histogram.centres**2, weights=histogram.counts))
    error = float(_errors(histogram, np.array([low]), np.array([high]), 2.0)[0])
    return error / magnitude if magnitude else 0.0


def _extremes(histogram: Histogram) -> Range:
    return min(histogram.low, 0.0), max(histogram.high, 0.0)


def _percentile(histogram: Histogram) -> Range:
    shares = np.cumsum(histogram.counts) / max(int(histogram.counts.sum()), 1)
    first = int(np.searchsorted(shares, _TAIL))
    last = int(np.searchsorted(shares, 1 - _TAIL))
    edges = histogram.edges
    return min(float(edges[first]), 0.0), max(float(edges[min(last + 1, len(edges) - 1)]), 0.0)


def _least_error(histogram: Histogram, *, exponent: float) -> Range:
    """Search both ends in turn over fractions of the extremes."""
    low, high = _extremes(histogram)
    lows, highs = low * _SHARES, high * _SHARES
    if not high > low:
        return low, high
    for _ in range(_ROUNDS):
        high = float(highs[_errors(histogram, np.full_like(highs, low), highs, exponent).argmin()])
        low = float(lows[_errors(histogram, lows, np.full_like(lows, high), exponent).argmin()])
    return low, high


def _errors(
    histogram: Histogram, lows: NDArray[np.float64], highs: NDArray[np.float64], exponent: float
) -> NDArray[np.float64]:
    """Return the mean of ``|error| ** exponent`` [K] of K ranges; infinite for an empty one."""
    used = histogram.counts > 0
    values, weights = histogram.centres[used], histogram.counts[used] / histogram.counts.sum()
    width = highs - lows
    scale = np.where(width > 0, width, 1.0)[:, None] / LEVELS
    zero = np.rint(-lows[:, None] / scale)
    rounded = (np.clip(np.rint(values / scale) + zero, 0, LEVELS) - zero) * scale
    return np.where(width > 0, np.abs(rounded - values) ** exponent @ weights, np.inf)

"""Resizing pictures: darknet's bilinear rule, and Pillow's smoothing one. NumPy and Pillow only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROWS_AT_A_TIME = 32


class _Taps(NamedTuple):
    """For every output position the two source positions, and the weight of the second."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    weight: NDArray[np.float32]


def resize_corner_aligned(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float32]:
    """Return float32 [height, width, 3] in 0..255 of a contiguous picture: bilinear, corners on corners, not smoothed.

    Only the rows and columns that count are read, a few output rows at a time so that the work stays in the cache.
    Source: darknet src/image.c, resize_image.
    """
    if image.shape[:2] == (height, width):
        return image.astype(np.float32)
    rows, columns = _taps(image.shape[0], height), _taps(image.shape[1], width)
    pixels = image.reshape(-1).view("V3").reshape(image.shape[:2])
    both = np.concatenate((columns.first, columns.second))
    across = np.repeat(columns.weight, 3)
    resized = np.empty((height, width * 3), np.float32)
    for start in range(0, height, ROWS_AT_A_TIME):
        block = slice(start, start + ROWS_AT_A_TIME)
        wanted = np.concatenate((rows.first[block], rows.second[block]))
        corners = pixels[wanted].take(both, axis=1).view(np.uint8).reshape(2, -1, 2, width * 3).astype(np.float32)
        upper, lower = corners
        lower -= upper
        lower *= rows.weight[block, None, None]
        upper += lower
        left, right = upper[:, 0], upper[:, 1]
        right -= left
        right *= across
        np.add(left, right, out=resized[block])
    return resized.reshape(height, width, 3)


def resize_antialiased(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float32]:
    """Return float32 [height, width, 3], whole levels, by Pillow's BILINEAR, which smooths where it shrinks."""
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR), np.float32)


def to_whole_levels(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return levels 0..255 rounded half up to uint8."""
    return (levels + np.float32(0.5)).astype(np.uint8)


def _taps(source: int, target: int) -> _Taps:
    """Corner-aligned positions, in float32 as darknet has them; the last one is the last pixel itself."""
    step = np.float32(source - 1) / np.float32(max(target - 1, 1))
    position = np.arange(target, dtype=np.float32) * step
    first = position.astype(np.intp)
    first[-1] = source - 1
    weight = position - first.astype(np.float32)
    weight[-1] = 0
    return _Taps(first, np.minimum(first + 1, source - 1), weight)

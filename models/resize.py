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


def resize_corner_aligned(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return uint8 [height, width, 3] of a C-contiguous picture: bilinear, corners on corners, nothing smoothed.

    Values are rounded half up. Only the rows and columns that count are read, a few output rows at a time so that the
    work stays in the cache. Source: darknet src/image.c, resize_image.
    """
    if image.shape[:2] == (height, width):
        return image.copy()
    rows, columns = _taps(image.shape[0], height), _taps(image.shape[1], width)
    pixels = image.reshape(-1).view("V3").reshape(image.shape[:2])
    both = np.concatenate((columns.first, columns.second))
    across = np.repeat(columns.weight, 3)
    resized = np.empty((height, width * 3), np.uint8)
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
        left += right
        left += 0.5
        resized[block] = left
    return resized.reshape(height, width, 3)


def resize_antialiased(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return uint8 [height, width, 3] by Pillow's BILINEAR, whose triangle widens where it shrinks a picture."""
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _taps(source: int, target: int) -> _Taps:
    """Corner-aligned positions, in float32 as darknet has them; the last one is the last pixel itself."""
    step = np.float32(source - 1) / np.float32(max(target - 1, 1))
    position = np.arange(target, dtype=np.float32) * step
    first = position.astype(np.intp)
    first[-1] = source - 1
    weight = position - first.astype(np.float32)
    weight[-1] = 0
    return _Taps(first, np.minimum(first + 1, source - 1), weight)

"""Resizing images: darknet's bilinear rule, and Pillow's smoothing one. NumPy and Pillow only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

ROWS_AT_A_TIME = 32
MAX_VALUES_AT_ONCE = 24_000_000
_HEIGHT_MAY_BE_FIRST = int(PIL.__version__.partition(".")[0]) >= 13


class _Taps(NamedTuple):
    """For every output position the two source positions, and the weight of the second."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class SourceGrid:
    """Rows and columns of an image that a resize reads, ascending, or all of it smoothed along one side."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    smooth_width: int | None = None
    smooth_height: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of what is read."""
        return self.smooth_height or len(self.rows), self.smooth_width or len(self.columns)

    def is_whole(self, width: int, height: int) -> bool:
        """Whether all of an image of this size is read as it is."""
        smooth = self.smooth_width is not None or self.smooth_height is not None
        return not smooth and (len(self.columns), len(self.rows)) == (width, height)

    def take(self, strip: Image.Image) -> NDArray[np.uint8]:
        """Return [h, w, P] or [h, w] of rows or columns of an image, cut off to the first to the last column."""
        if self.smooth_width is not None or self.smooth_height is not None:
            size = self.smooth_width or strip.width, self.smooth_height or strip.height
            return np.asarray(strip.resize(size, Image.Resampling.BILINEAR))
        if len(self.columns) == strip.width:
            return np.asarray(strip)
        columns = self.columns - self.columns[0]
        if strip.mode == "L":
            levels: NDArray[np.uint8] = np.asarray(strip).take(columns, axis=1)
            return levels
        # 4 bytes a pixel, as Pillow has it in memory, take a third of the time of 3
        whole = np.frombuffer(strip.tobytes("raw", "RGBX"), np.uint32).reshape(strip.height, strip.width)
        pixels: NDArray[np.uint8] = whole.take(columns, axis=1)[..., None].view(np.uint8)
        return pixels[..., :3]


def resize_corner_aligned(
    image: NDArray[np.uint8], width: int, height: int, window_xyxy_px: tuple[int, int, int, int] | None = None
) -> NDArray[np.float32]:
    """Return float32 [height, width, P] in 0..255 of an image [h, w, P]: bilinear, corners on corners, not smoothed.

    ``window_xyxy_px`` is the part of the result that is computed and returned, all of it by default. Only the rows and
    columns that count are read, a few output rows at a time so that the work stays in the cache; a mirrored or cut view
    costs no copy. Source: darknet src/image.c, resize_image.
    """
    x1, y1, x2, y2 = window_xyxy_px or (0, 0, width, height)
    planes = image.shape[2]
    if image.shape[:2] == (height, width):
        return image[y1:y2, x1:x2].astype(np.float32, order="C")
    rows, columns = _taps(image.shape[0], height, y1, y2), _taps(image.shape[1], width, x1, x2)
    image, columns = _unmirrored(image, columns)
    span, used, columns = _compact(columns)
    pixels = image[:, span].reshape(len(image), -1)
    kept = None if used is None else _values(used, planes)
    return _interpolate(pixels, kept, rows, columns, planes)


def whole_grid(image_width: int, image_height: int) -> SourceGrid:
    """Return all rows and columns of an image."""
    return SourceGrid(np.arange(image_height), np.arange(image_width))


def antialiased_grid(image_width: int, image_height: int, width: int, height: int) -> SourceGrid:
    """Return all of an image, smoothed along one side: the first of the two passes of ``resize_antialiased``.

    Pillow begins with the width, from 13 on with the height where that shrinks by over twice as many pixels
    (python-pillow/Pillow#9549).
    """
    tall = image_height - height > max(2 * (image_width - width), 0)
    rows, columns = np.arange(image_height), np.arange(image_width)
    if tall and _HEIGHT_MAY_BE_FIRST:
        return SourceGrid(rows, columns, smooth_height=height)
    return SourceGrid(rows, columns, smooth_width=width)


def corner_aligned_grid(image_width: int, image_height: int, width: int, height: int) -> SourceGrid:
    """Return the rows and columns of an image that ``resize_corner_aligned`` reads to make ``width`` x ``height``."""
    rows, columns = _taps(image_height, height, 0, height), _taps(image_width, width, 0, width)
    return SourceGrid(
        np.unique(np.concatenate((rows.first, rows.second))), np.unique(np.concatenate((columns.first, columns.second)))
    )


def resize_samples(
    samples: NDArray[np.uint8], grid: SourceGrid, image_width: int, image_height: int, width: int, height: int
) -> NDArray[np.float32]:
    """Return what ``resize_corner_aligned`` does of an image of which only the rows and columns of a grid are there.

    ``samples`` are [R, C, P], those of ``corner_aligned_grid``.
    """
    if (image_height, image_width) == (height, width):
        return samples.astype(np.float32, order="C")
    rows = _among(grid.rows, _taps(image_height, height, 0, height))
    columns = _among(grid.columns, _taps(image_width, width, 0, width))
    return _interpolate(samples.reshape(len(samples), -1), None, rows, columns, samples.shape[2])


def resize_antialiased(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float32]:
    """Return float32 [height, width, P], whole levels, by Pillow's BILINEAR, which smooths where it shrinks.

    Large images go plane by plane, with the same result in a third of the memory.
    """
    if image.shape[2] == 3 and image.size <= MAX_VALUES_AT_ONCE:
        return np.array(as_image(image).resize((width, height), Image.Resampling.BILINEAR), np.float32)
    planes = (Image.fromarray(np.ascontiguousarray(image[..., plane])) for plane in range(image.shape[2]))
    resized = [plane.resize((width, height), Image.Resampling.BILINEAR) for plane in planes]
    return np.stack([np.asarray(plane, np.float32) for plane in resized], axis=-1)


def as_image(image: NDArray[np.uint8]) -> Image.Image:
    """Return pixels [H, W, 3], or a mirrored or cut view of them, for Pillow.

    Pillow mirrors five times as fast as NumPy copies a mirrored view.
    """
    if image.strides[1] >= 0:
        return Image.fromarray(np.ascontiguousarray(image))
    return Image.fromarray(np.ascontiguousarray(image[:, ::-1])).transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def to_whole_levels(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return levels 0..255 rounded half up to uint8."""
    return (levels + np.float32(0.5)).astype(np.uint8)


def _interpolate(
    pixels: NDArray[np.uint8], kept: NDArray[np.intp] | None, rows: _Taps, columns: _Taps, planes: int
) -> NDArray[np.float32]:
    """Return float32 [height, width, P] of values uint8 [H, W * P], of which the ``kept`` of a row count."""
    left_values, right_values = _values(columns.first, planes), _values(columns.second, planes)
    across = np.repeat(columns.weight, planes)
    height, width = len(rows.first), len(columns.first)
    resized = np.empty((height, width * planes), np.float32)
    for start in range(0, height, ROWS_AT_A_TIME):
        block = slice(start, start + ROWS_AT_A_TIME)
        level, lower = _levels(pixels, rows.first[block], kept), _levels(pixels, rows.second[block], kept)
        lower -= level
        lower *= rows.weight[block, None]
        level += lower
        left, right = level.take(left_values, axis=1), level.take(right_values, axis=1)
        right -= left
        right *= across
        np.add(left, right, out=resized[block])
    return resized.reshape(height, width, planes)


def _among(kept: NDArray[np.intp], taps: _Taps) -> _Taps:
    """Return positions counted among the kept ones."""
    return _Taps(np.searchsorted(kept, taps.first), np.searchsorted(kept, taps.second), taps.weight)


def _taps(source: int, target: int, start: int, stop: int) -> _Taps:
    """Corner-aligned positions ``start``..``stop`` - 1 of ``target``, in float32 as darknet has them.

    The last position is the last pixel itself.
    """
    step = np.float32(source - 1) / np.float32(max(target - 1, 1))
    position = np.arange(start, stop, dtype=np.float32) * step
    first = position.astype(np.intp)
    weight = position - first.astype(np.float32)
    if start < stop == target:
        first[-1], weight[-1] = source - 1, 0
    return _Taps(first, np.minimum(first + 1, source - 1), weight)


def _unmirrored(image: NDArray[np.uint8], columns: _Taps) -> tuple[NDArray[np.uint8], _Taps]:
    """Return image and columns such that the values of a row lie one after the other."""
    if image.strides[1] < 0:
        last = image.shape[1] - 1
        image, columns = image[:, ::-1], _Taps(last - columns.first, last - columns.second, columns.weight)
    return image if image.strides[1:] == (image.shape[2], 1) else np.ascontiguousarray(image), columns


def _compact(columns: _Taps) -> tuple[slice, NDArray[np.intp] | None, _Taps]:
    """Return which columns of an image are read, which of those (None: all), and the columns counted among the latter.

    Columns in between that no output reads are only left out where they are many.
    """
    used = np.unique(np.concatenate((columns.first, columns.second)))
    span = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
    if 2 * len(used) > span.stop - span.start:
        return span, None, _Taps(columns.first - span.start, columns.second - span.start, columns.weight)
    return span, used - span.start, _among(used, columns)


def _values(pixels: NDArray[np.intp], planes: int) -> NDArray[np.intp]:
    """Return the positions [N * planes] of the values of pixels [N] in a row."""
    return (planes * pixels[:, None] + np.arange(planes)).reshape(-1)


def _levels(pixels: NDArray[np.uint8], rows: NDArray[np.intp], kept: NDArray[np.intp] | None) -> NDArray[np.float32]:
    """Return rows of values [H, K], or the ``kept`` ones of each."""
    block = pixels[rows]
    return (block if kept is None else block.take(kept, axis=1)).astype(np.float32)

"""Decoded Pillow images to RGB arrays of 8 bits: upright, on a white page, all of them or some rows and columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yoloscope.models.image_headers import exif_orientation
from yoloscope.models.resize import SourceGrid

SIDEWAYS: Final = (5, 6, 7, 8)
_FLIPPED_DOWN: Final = (3, 4, 7, 8)
_FLIPPED_ACROSS: Final = (2, 3, 6, 7)
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image of an EXIF orientation upright."""
_BACKGROUND: Final = (255, 255, 255)
_SIXTEEN_BIT: Final = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_STRIP_ROWS: Final = 64
_COPIED_PIXELS: Final = 2_000_000
"""Most pixels that are copied at once, which takes half of the time of strips and twice the memory."""


@dataclass(frozen=True)
class ImageSamples:
    """Some rows and columns of an upright image, RGB uint8 [R, C, 3], and the size of all of it in pixels."""

    pixels: NDArray[np.uint8]
    grid: SourceGrid
    width: int
    height: int


def stored_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; that of a TIFF is 1 since Pillow turns it itself, and XMP turns nothing."""
    exif = image.info.get("exif", b"")
    return exif_orientation(exif) if isinstance(exif, bytes) and image.format != "TIFF" else 1


def convert_samples(image: Image.Image, choose: Callable[[int, int], SourceGrid]) -> ImageSamples:
    """Decode, and convert what is chosen in strips, so that no second copy of an image is needed for a part of it."""
    for key in ("xmp", "XML:com.adobe.xmp"):
        image.info.pop(key, None)
    image.load()
    if image.mode == "F":
        _from_floats(np.asarray(image))
    orientation = stored_orientation(image)
    width, height = reversed(image.size) if orientation in SIDEWAYS else image.size
    grid = choose(width, height)
    as_stored = orientation == 1 and _is_rgb(image) and grid.is_whole(width, height)
    if as_stored and width * height <= _COPIED_PIXELS:
        return ImageSamples(np.array(image), grid, width, height)
    pixels = np.empty((*grid.shape, 3), np.uint8)
    left, right = int(grid.columns[0]), int(grid.columns[-1]) + 1
    for start, stop in _runs(grid.rows if grid.smooth_height is None else grid.columns):
        if grid.smooth_height is None:
            box, part = (left, int(grid.rows[start]), right, int(grid.rows[stop - 1]) + 1), pixels[start:stop]
        else:
            box, part = (start, 0, stop, height), pixels[:, start:stop]
        levels = grid.take(_strip(image, box, orientation))
        part[:] = levels[..., None] if levels.ndim == 2 else levels
    return ImageSamples(pixels, grid, width, height)


def _strip(image: Image.Image, box: tuple[int, int, int, int], orientation: int) -> Image.Image:
    """Return a box (left, top, right, bottom) of the upright image, RGB or gray."""
    width, height = reversed(image.size) if orientation in SIDEWAYS else image.size
    left, top, right, bottom = box
    if orientation in _FLIPPED_ACROSS:
        left, right = width - right, width - left
    if orientation in _FLIPPED_DOWN:
        top, bottom = height - bottom, height - top
    strip = image.crop((top, left, bottom, right) if orientation in SIDEWAYS else (left, top, right, bottom))
    if strip.mode != "L" or "transparency" in strip.info:
        strip = _rgb(strip)
    return strip.transpose(_TURNS[orientation]) if orientation in _TURNS else strip


def _runs(rows: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of rows or columns that follow each other, a strip at most at a time."""
    ends = (*(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows))
    first = 0
    for end in ends:
        for start in range(first, end, _STRIP_ROWS):
            yield start, min(end, start + _STRIP_ROWS)
        first = end


def _is_rgb(image: Image.Image) -> bool:
    return image.mode == "RGB" and "transparency" not in image.info


def _rgb(image: Image.Image) -> Image.Image:
    if _is_rgb(image):
        return image
    if image.mode in _SIXTEEN_BIT:
        return _from_16_bit(image)
    if image.mode == "F":
        return Image.fromarray(_from_floats(np.asarray(image))).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        return _on_background(image.convert("RGBA"))
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int32).clip(0, 65_535)
    gray = ((values + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray[values == transparent] = _BACKGROUND[0]
    return Image.fromarray(gray).convert("RGB")


def _on_background(image: Image.Image) -> Image.Image:
    page = Image.new("RGB", image.size, _BACKGROUND)
    page.paste(image, mask=image.getchannel("A"))
    return page


def _from_floats(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scale 0..1 to 0..255; raise ValueError for other floats, whose black and white nobody states."""
    if not ((levels >= 0) & (levels <= 1)).all():
        raise ValueError(f"expected floats of 0..1, got {np.min(levels):g}..{np.max(levels):g}")
    return np.rint(levels * 255).astype(np.uint8)

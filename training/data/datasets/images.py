"""DecodedImage files: their size from the header alone, and their pixels, upright."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from yoloscope.models.errors import ImageDecodeError

SUFFIXES: Final = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"))
_PHOTO_SUFFIXES: Final = frozenset((".jpg", ".jpeg", ".webp", ".tif", ".tiff"))
_SIDEWAYS: Final = (5, 6, 7, 8)
_WHITE: Final = (255, 255, 255)


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of an image as it is seen, its EXIF orientation applied, without decoding it.

    Raises ImageDecodeError for a file that is no image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            sideways = image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageDecodeError(f"expected an image at {path}, got: {error}") from error
    return (height, width) if sideways else (width, height)


def exif_orientation(path: Path) -> int:
    """Return the EXIF orientation (1..8) of a photo from its header; 1 for other files and those that are no image."""
    if path.suffix.lower() not in _PHOTO_SUFFIXES:
        return 1
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return the pixels [H, W, 3] of an image, RGB, upright, on white where it is transparent.

    16-bit grey and floats of 0..1 are scaled to 8 bits. Raises ImageDecodeError for a file that is missing, damaged or
    cut off, and for other floats.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(_rgb(ImageOps.exif_transpose(image)), np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageDecodeError(f"expected a whole image at {path}, got: {error}") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.int64).clip(0, 65_535) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        opaque = image.convert("RGBA")
        page = Image.new("RGB", image.size, _WHITE)
        page.paste(opaque, mask=opaque.getchannel("A"))
        return page
    return image.convert("RGB")


def _eight_bits(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scale 0..1 to 0..255; raise ValueError for other floats, whose black and white nobody states."""
    if not ((levels >= 0) & (levels <= 1)).all():
        raise ValueError(f"expected floats of 0..1, got {np.min(levels):g}..{np.max(levels):g}")
    return np.rint(levels * 255).astype(np.uint8)

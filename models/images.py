"""Bytes to pixels, safely: judged from the header before a pixel is decoded.

A decoded image is RGB, 8 bits, upright (EXIF orientation applied), as a viewer would show it on a white page.
Animations give their first frame. 16-bit grey is scaled (value / 257), CMYK and YCCK are converted by the plain rule,
color profiles are not applied. JPEGs are always decoded at full size: decoding them reduced would be faster but moves
boxes and scores by more than the tolerance that models are checked to, since their resize does not smooth.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from yoloscope.models.errors import ImageDecodeError, ImageTooLargeError, ImageTypeError

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
_SIGNATURES: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF87a", b"GIF89a")
_BACKGROUND: Final = (255, 255, 255)
_SIXTEEN_BIT: Final = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_TRANSPOSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Oddities that Pillow repairs by itself are not worth a line on the server's console for every such image; the one
# about size is an error here, because the limits below are the rule.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class ImageLimits:
    """The largest image that is decoded."""

    max_bytes: int
    max_pixels: int
    max_side: int


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image: RGB uint8 [H, W, 3], upright."""

    pixels: NDArray[np.uint8]

    @property
    def width(self) -> int:
        """Pixels across, as seen."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels down, as seen."""
        return int(self.pixels.shape[0])


def decode_image(data: bytes, limits: ImageLimits) -> DecodedImage:
    """Decode JPEG, PNG, WebP, BMP or GIF bytes.

    Raises ImageTypeError for other formats, ImageTooLargeError beyond ``limits`` (before decoding) and
    ImageDecodeError for empty, damaged or truncated content.
    """
    with _open_checked(data, limits) as image:
        try:
            image.load()
            upright = _rgb(_upright(image))
        except Exception as error:
            raise ImageDecodeError(f"expected a whole {image.format} image, got one that fails: {error}") from error
    return DecodedImage(np.asarray(upright))


def _open_checked(data: bytes, limits: ImageLimits) -> Image.Image:
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(f"expected an image of at most {limits.max_bytes} bytes, got {len(data)}")
    if not data:
        raise ImageDecodeError("expected an image, got 0 bytes")
    if not _is_supported(data):
        raise ImageTypeError(f"expected one of {', '.join(FORMATS)}, got bytes that start with {data[:8]!r}")
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLargeError(
            f"expected at most {limits.max_pixels} pixels, got a header that fails: {error}"
        ) from error
    except Exception as error:
        raise ImageDecodeError(f"expected an image with a sound header, got one that fails: {error}") from error
    width, height = image.size
    if max(width, height) > limits.max_side:
        raise ImageTooLargeError(f"expected sides of at most {limits.max_side} pixels, got {width}x{height}")
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(
            f"expected at most {limits.max_pixels} pixels, got {width}x{height} = {width * height}"
        )
    return image


def _is_supported(data: bytes) -> bool:
    return data.startswith(_SIGNATURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; damaged EXIF counts as none, as in browsers."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        method = _TRANSPOSE.get(orientation)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, ArithmeticError):
        return image
    return image if method is None else image.transpose(method)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _SIXTEEN_BIT:
        return _from_16_bit(image)
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        return _on_background(image.convert("RGBA"))
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64).clip(0, 65_535)
    grey = ((values + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = _BACKGROUND[0]
    return Image.fromarray(grey).convert("RGB")


def _on_background(image: Image.Image) -> Image.Image:
    page = Image.new("RGB", image.size, _BACKGROUND)
    page.paste(image, mask=image.getchannel("A"))
    return page

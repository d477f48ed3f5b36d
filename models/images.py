"""Image files and bytes to pixels: one decoder for the service, training and evaluation.

A decoded image is RGB, 8 bits, upright (EXIF orientation applied), as a viewer would show it on a white page.
Animations give their first frame. 16-bit grey is scaled (value / 257), floats of 0..1 to 0..255, CMYK and YCCK are
converted by the plain rule, color profiles are not applied. JPEGs are always decoded at full size: decoding them
reduced would be faster but moves boxes and scores by more than the tolerance that models are checked to, since their
resize does not smooth.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, features

from yoloscope.models.errors import ImageDecodeError, ImageTooLargeError, ImageTypeError

_AVIF: Final = ("AVIF",) if features.check("avif") else ()
FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", *_AVIF)
_AVIF_BRANDS: Final = (b"avif", b"avis")
_HEIC_BRANDS: Final = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_SIGNATURES: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*")
SUFFIXES: Final = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"))
_PHOTO_SUFFIXES: Final = frozenset((".jpg", ".jpeg", ".webp", ".tif", ".tiff"))
_SIDEWAYS: Final = (5, 6, 7, 8)
_HEADER_ERRORS: Final = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
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
    """Decode JPEG, PNG, WebP, BMP, GIF, TIFF or, where Pillow has it, AVIF bytes.

    Raises ImageTypeError for other formats, ImageTooLargeError beyond ``limits`` (before decoding) and
    ImageDecodeError for empty, damaged or truncated content.
    """
    with _open_checked(data, limits) as image:
        try:
            image.load()
            upright = to_rgb(image)
        except Exception as error:
            raise ImageDecodeError(f"expected a whole {image.format} image, got one that fails: {error}") from error
    return DecodedImage(np.asarray(upright))


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of an image as it is seen, its EXIF orientation applied, without decoding it.

    Raises ImageDecodeError for a file that is no image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            sideways = image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
    except _HEADER_ERRORS as error:
        raise ImageDecodeError(f"expected an image at {path}, got: {error}") from error
    return (height, width) if sideways else (width, height)


def exif_orientation(path: Path) -> int:
    """Return the EXIF orientation (1..8) of a photo from its header; 1 for other files and those that are no image."""
    if path.suffix.lower() not in _PHOTO_SUFFIXES:
        return 1
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation)
    except _HEADER_ERRORS:
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return the pixels [H, W, 3] of an image, RGB, upright, on white where it is transparent.

    16-bit grey and floats of 0..1 are scaled to 8 bits. Raises ImageDecodeError for a file that is missing, damaged or
    cut off, and for other floats.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return np.asarray(to_rgb(image))
    except _HEADER_ERRORS as error:
        raise ImageDecodeError(f"expected a whole image at {path}, got: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a PIL image as RGB of 8 bits, upright, on white where it is transparent."""
    return _rgb(_upright(image))


def _open_checked(data: bytes, limits: ImageLimits) -> Image.Image:
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(f"expected an image of at most {limits.max_bytes} bytes, got {len(data)}")
    if not data:
        raise ImageDecodeError("expected an image, got 0 bytes")
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in _HEIC_BRANDS:
        raise ImageTypeError(f"expected one of {', '.join(FORMATS)}, got a HEIC photo: export it as JPEG")
    if not (_is_supported(data) or (_AVIF and brand in _AVIF_BRANDS)):
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
    if image.mode == "F":
        return Image.fromarray(_from_floats(np.asarray(image))).convert("RGB")
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


def _from_floats(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scale 0..1 to 0..255; raise ValueError for other floats, whose black and white nobody states."""
    if not ((levels >= 0) & (levels <= 1)).all():
        raise ValueError(f"expected floats of 0..1, got {np.min(levels):g}..{np.max(levels):g}")
    return np.rint(levels * 255).astype(np.uint8)


def quiet_repairs() -> None:
    """Silence Pillow's warnings about oddities that it repairs by itself; called where a process starts."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

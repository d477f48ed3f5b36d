"""Image files and bytes to pixels: one decoder for the service, training and evaluation.

A decoded image is RGB, 8 bits, upright (EXIF orientation applied), as a viewer would show it on a white page.
Animations give their first frame. 16-bit gray is scaled (value / 257), floats of 0..1 to 0..255, CMYK and YCCK are
converted by the plain rule, color profiles are not applied. JPEGs are always decoded at full size: decoding them
reduced would be faster but moves boxes and scores by more than the tolerance that models are checked to, since their
resize does not smooth.
"""

from __future__ import annotations

import ctypes
import threading
import warnings
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError, features
from PIL.TiffImagePlugin import TiffImageFile

from yoloscope.models.errors import ImageDecodeError, ImageError, ImageTooLargeError, ImageTypeError
from yoloscope.models.image_headers import ReducedImage, reduce_image
from yoloscope.models.image_pixels import SIDEWAYS, ImageSamples, convert_samples, stored_orientation
from yoloscope.models.image_work import decode_bytes, decode_seconds
from yoloscope.models.resize import SourceGrid, whole_grid

_AVIF: Final = ("AVIF",) if features.check("avif") else ()
FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", *_AVIF)
_AVIF_BRANDS: Final = (b"avif", b"avis")
_HEIC_BRANDS: Final = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_SIGNATURES: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*")
SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", *((".avif",) if _AVIF else ()))
)
HEIC_SUFFIXES: Final = frozenset((".heic", ".heif"))
"""Photos that are not read but named where they are met, so that none is passed over in silence."""
_PHOTO_SUFFIXES: Final = frozenset((".jpg", ".jpeg", ".webp", ".tif", ".tiff"))
_HEADER_ERRORS: Final = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_END: Final = b"\xff\xd9"
_LOOK_AHEAD: Final = 8
_NOISE: Final = np.random.default_rng(0).integers(1, 255, 2048, np.uint8).tobytes()
_TIFF_DEFAULTS: Final = {259: 1, 258: 8, 277: 1}
MAX_DECODE_BYTES: Final = 300_000_000
"""Memory that decoding may take by an estimate from the header."""
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 2**23
_LARGE_PIXELS: Final = 4_000_000
_ONE_LARGE: Final = threading.RLock()


@dataclass(frozen=True)
class ImageLimits:
    """The largest image that is decoded, and the seconds that it may take by an estimate from its header."""

    max_bytes: int
    max_pixels: int
    max_side: int
    max_decode_s: float = 0.8


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
    return DecodedImage(decode_samples(data, limits, whole_grid).pixels)


def decode_samples(data: bytes, limits: ImageLimits, choose: Callable[[int, int], SourceGrid]) -> ImageSamples:
    """Decode as ``decode_image`` does, and return the rows and columns that are chosen by (width, height).

    Saves the memory and the time of the others: a network's input reads a few of a large image alone. Raises as
    ``decode_image`` does.
    """
    image, reduced = _open_checked(data, limits)
    with image, one_large_image(image.width, image.height):
        try:
            return _whole_pixels(image, reduced, choose)
        except ImageError:
            raise
        except Exception as error:
            raise ImageDecodeError(f"expected a whole {image.format} image, got one that fails: {error}") from error


def one_large_image(width: int, height: int) -> AbstractContextManager[object]:
    """Hold other threads that need the memory of a large image, if this one is large."""
    return _ONE_LARGE if width * height > _LARGE_PIXELS else nullcontext()


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of an image as it is seen, its EXIF orientation applied, without decoding it.

    Raises ImageDecodeError for a file that is no image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            sideways = stored_orientation(image) in SIDEWAYS
    except _HEADER_ERRORS as error:
        raise ImageDecodeError(f"expected an image at {path}, got: {error}") from error
    return (height, width) if sideways else (width, height)


def photo_orientation(path: Path) -> int:
    """Return the EXIF orientation (1..8) of a photo from its header; 1 for other files and those that are no image."""
    if path.suffix.lower() not in _PHOTO_SUFFIXES:
        return 1
    try:
        with Image.open(path) as image:
            return stored_orientation(image)
    except _HEADER_ERRORS:
        return 1


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return the pixels [H, W, 3] of an image, RGB, upright, on white where it is transparent.

    16-bit gray and floats of 0..1 are scaled to 8 bits. Raises ImageDecodeError for a file that is missing, damaged or
    cut off, and for other floats.
    """
    try:
        return _read_pixels(path.read_bytes())
    except (*_HEADER_ERRORS, ImageError) as error:
        raise ImageDecodeError(f"expected a whole image at {path}, got: {error}") from error


def read_image_bytes(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of the bytes of an image file as ``read_image`` does; raises ImageDecodeError."""
    try:
        return _read_pixels(data)
    except (*_HEADER_ERRORS, ImageError) as error:
        raise ImageDecodeError(f"expected the bytes of a whole image, got: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a PIL image as RGB of 8 bits, upright, on white where it is transparent."""
    return Image.fromarray(convert_samples(image, whole_grid).pixels)


class _CheckedJpeg(BytesIO):
    """The file of a JPEG in one scan; at the end of its data it raises ImageDecodeError if the last row is lacking.

    libjpeg fills what is lacking with gray and does not say so.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data.removesuffix(_END) + bytes(_LOOK_AHEAD))
        self._image: Image.Image | None = None
        self._marks: list[object] = []

    def watch(self, image: Image.Image) -> None:
        """Mark the last row of the image, before it is decoded."""
        assert isinstance(image, ImageFile.ImageFile)
        image.load_prepare()
        noise = np.random.default_rng(0).integers(0, 256, (1, image.width, 4), np.uint8)
        row = Image.fromarray(noise, "RGBX" if image.mode == "RGB" else "CMYK").convert(image.mode)
        image.im.paste(row.im, (0, image.height - 1, image.width, image.height))
        self._image, self._marks = image, self._last_row(image)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; the end marker once the last row is there."""
        data = super().read(size)
        if data or self._image is None:
            return data
        if self._last_row(self._image) == self._marks:
            raise ImageDecodeError("expected a whole JPEG image, got one that is cut off")
        self._image = None
        return _END

    def _last_row(self, image: Image.Image) -> list[object]:
        return [image.im.getpixel((x, image.height - 1)) for x in range(0, image.width, max(1, image.width // 16))]


def _open(reduced: ReducedImage, formats: tuple[str, ...] | None) -> Image.Image:
    if not reduced.single_scan:
        return Image.open(BytesIO(reduced.data), formats=formats)
    file = _CheckedJpeg(reduced.data)
    image = Image.open(file, formats=formats)
    file.watch(image)
    return image


def _read_pixels(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of an image file; Pillow's own message for other files holds a memory address."""
    reduced = reduce_image(data)
    try:
        with _open(reduced, None) as image:
            return _whole_pixels(image, reduced, whole_grid).pixels
    except UnidentifiedImageError as error:
        raise ImageDecodeError("a file of another format") from error


def _whole_pixels(image: Image.Image, reduced: ReducedImage, choose: Callable[[int, int], SourceGrid]) -> ImageSamples:
    """Decode; a JPEG in several scans that lacks its end is cut off if bytes after its last scan change its pixels."""
    if reduced.ended:
        return convert_samples(image, choose)
    with Image.open(BytesIO(reduced.data.removesuffix(_END) + _NOISE + _END)) as longer:
        longer_sum = zlib.crc32(convert_samples(longer, whole_grid).pixels.data)
    if zlib.crc32(convert_samples(image, whole_grid).pixels.data) != longer_sum:
        raise ImageDecodeError("expected a whole JPEG image, got one that is cut off")
    return convert_samples(image, choose)


def _open_checked(data: bytes, limits: ImageLimits) -> tuple[Image.Image, ReducedImage]:
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
        reduced = reduce_image(data)
        image = _open(reduced, FORMATS)
    except ImageError:
        raise
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
    _check_work(image, reduced, limits)
    return image, replace(reduced, data=b"") if reduced.single_scan else reduced  # its file has a copy


def _check_work(image: Image.Image, reduced: ReducedImage, limits: ImageLimits) -> None:
    kind, size = image.format or "", image.size
    tags: dict[int, int] = {}
    if isinstance(image, TiffImageFile):
        tags = {tag: int(np.max(image.tag_v2.get(tag, default))) for tag, default in _TIFF_DEFAULTS.items()}
    seconds = decode_seconds(kind, size, reduced.data, tags, reduced.scan_units) * (1 if reduced.ended else 2)
    if seconds > limits.max_decode_s:
        detail = " with fewer scans, or" if reduced.scan_units else ""
        raise ImageTooLargeError(
            f"expected an image that takes at most {limits.max_decode_s:g} s to decode, got a {kind} of"
            f" {size[0]}x{size[1]} that takes some {seconds:.1f} s: save it{detail} smaller, or as a baseline JPEG"
        )
    needed = decode_bytes(kind, size, reduced.scan_units)
    if needed > MAX_DECODE_BYTES:
        raise ImageTooLargeError(
            f"expected an image that takes at most {MAX_DECODE_BYTES} bytes of memory to decode, got a {kind} of"
            f" {size[0]}x{size[1]} that takes some {needed}: save it smaller, or as a baseline JPEG"
        )


def _is_supported(data: bytes) -> bool:
    return data.startswith(_SIGNATURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def return_freed_memory() -> None:
    """Have glibc return the memory of large images when it is freed; called where a process starts.

    By itself glibc keeps blocks of up to 32 MiB once it has seen one of that size, in every thread that decodes. Blocks
    of up to ``_KEPT_BYTES``, as those of a network's input, are kept: to get them anew for each image, page by page,
    took over a tenth of the processor time of a request.
    """
    with suppress(OSError, AttributeError):
        for parameter in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            ctypes.CDLL(None).mallopt(parameter, _KEPT_BYTES)


def trim_memory() -> None:
    """Have glibc return what is free between blocks that are in use; called after much was freed, as by a load."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def quiet_repairs() -> None:
    """Silence Pillow's warnings about oddities that it repairs by itself; called where a process starts."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

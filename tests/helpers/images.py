"""Images for the tests, made on the spot."""

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

from yoloscope.models.images import ImageLimits

LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000, max_side=2000)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(width: int, height: int, bit_depth: int, color_type: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG from its parts; ``rows`` are uncompressed scan lines with their filter bytes."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            *extra,
            png_chunk(b"IDAT", zlib.compress(rows, 9)),
            png_chunk(b"IEND", b""),
        )
    )


def png_bomb(width: int, height: int) -> bytes:
    """A whole, valid, black 1-bit PNG that is thousands of times smaller than its pixels."""
    return raw_png(width, height, 1, 0, bytes(1 + (width + 7) // 8) * height)


def corner_image(width: int = 60, height: int = 40) -> Image.Image:
    """White with a red block at the top left and a blue one at the bottom right."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    image.paste((255, 0, 0), (0, 0, width // 4, height // 4))
    image.paste((0, 0, 255), (width * 3 // 4, height * 3 // 4, width, height))
    return image


UNDO_ORIENTATION = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright image is stored so that the orientation tag brings it back (EXIF 2.32, table of tag 0x0112)."""


def stored_with_orientation(upright: Image.Image, orientation: int, kind: str = "JPEG", **options: Any) -> bytes:
    method = UNDO_ORIENTATION[orientation]
    stored = upright if method is None else upright.transpose(method)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, kind, exif=exif, **options)

"""Time and memory that decoding an image takes, estimated from its header.

A decoder written in C cannot be stopped, so what would take it too long is refused before it starts. The estimates are
those of one core of a server of today with Pillow 13; on other machines they are off by one common factor.
"""

from __future__ import annotations

from typing import Final

NANOSECONDS_PER_PIXEL: Final = {
    "JPEG": 8.0,
    "PNG": 8.0,
    "WEBP": 22.0,
    "BMP": 7.0,
    "GIF": 7.0,
    "TIFF": 7.0,
    "AVIF": 24.0,
}
BYTES_PER_PIXEL: Final = {"WEBP": 16.0, "AVIF": 11.5}
"""Memory at the peak; 7 bytes a pixel for others, 10 for a JPEG in several scans, which keeps its coefficients."""
_LOSSY_WEBP: Final = 90.0
_AVIF: Final = 100.0
_BASELINE_JPEG: Final = 28.0
_PROGRESSIVE_JPEG: Final = 70.0
_LOSSLESS: Final = 12.0
_RLE_BMP: Final = 430.0
"""Nanoseconds per byte of the file; Pillow reads run lengths of a BMP in Python."""
_PNG_ROWS: Final = 2.2
_TIFF_ROWS: Final = 2.0
_WIDE_ROWS: Final = 4.0
_LZMA_ROWS: Final = 7.5
"""Nanoseconds per byte of the unpacked rows."""
_SCAN_UNIT: Final = 8.0
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_LZMA: Final = 34925


def decode_seconds(kind: str, size: tuple[int, int], data: bytes, tags: dict[int, int], scan_units: int) -> float:
    """Return the estimated seconds of decoding a file of Pillow's format ``kind`` and of ``size`` (width, height).

    ``tags`` are compression (259), bits (258) and samples per pixel (277) of a TIFF; ``scan_units`` the work of a
    JPEG's scans beyond their bytes, 0 for one in a single scan.
    """
    pixels = size[0] * size[1]
    nanoseconds = pixels * NANOSECONDS_PER_PIXEL[kind] + scan_units * _SCAN_UNIT
    if kind == "JPEG":
        nanoseconds += len(data) * (_PROGRESSIVE_JPEG if scan_units else _BASELINE_JPEG)
    elif kind == "PNG":
        nanoseconds += pixels * data[24] / 8 * _PNG_CHANNELS.get(data[25], 4) * _PNG_ROWS + len(data) * _LOSSLESS
    elif kind == "WEBP":
        nanoseconds += len(data) * (_LOSSLESS if _is_lossless(data) else _LOSSY_WEBP)
    elif kind == "AVIF":
        nanoseconds += len(data) * _AVIF
    elif kind == "BMP":
        nanoseconds += len(data) * (_RLE_BMP if data[30:34] in {b"\1\0\0\0", b"\2\0\0\0"} else 0.0)
    elif kind == "TIFF":
        row_bytes = pixels * tags.get(258, 8) / 8 * tags.get(277, 1)
        slow = _LZMA_ROWS if tags.get(259) == _LZMA else _TIFF_ROWS
        nanoseconds += row_bytes * (max(slow, _WIDE_ROWS) if tags.get(258, 8) >= 32 else slow)
    else:
        nanoseconds += len(data) * _LOSSLESS
    return nanoseconds * 1e-9


def decode_bytes(kind: str, size: tuple[int, int], scan_units: int) -> int:
    """Return the estimated bytes of memory at the peak of decoding, ``scan_units`` as above."""
    return int(size[0] * size[1] * BYTES_PER_PIXEL.get(kind, 10.0 if scan_units else 7.0))


def _is_lossless(webp: bytes) -> bool:
    """Report a WebP whose first image is lossless."""
    at = 12
    while at + 8 <= len(webp) and webp[at : at + 4] in {b"VP8X", b"ICCP", b"EXIF", b"XMP "}:
        at += 8 + (int.from_bytes(webp[at + 4 : at + 8], "little") + 1) // 2 * 2
    return webp[at : at + 4] == b"VP8L"

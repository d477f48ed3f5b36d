"""Image files judged and reduced before they are decoded: work, metadata, missing ends.

A decoder's time depends on more than the number of pixels: a progressive JPEG may hold thousands of empty scans, a PNG
text of gigabytes, a GIF millions of comments, a TIFF tags that overlap. ``reduce_image`` bounds each of them by a walk
over markers, and leaves out what pixels do not depend on: texts, color profiles, thumbnails, XMP.
The EXIF orientation is read by ``exif_orientation`` and nothing else turns an image, as in browsers.

Sources: ITU-T T.81 (JPEG), W3C PNG (third edition), the GIF89a specification, TIFF 6.0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.errors import ImageDecodeError, ImageTooLargeError

MAX_PARTS: Final = 100_000
"""Chunks of a PNG or blocks of a GIF."""
MAX_SEGMENTS: Final = 10_000
"""Segments of a JPEG."""
MAX_STRIPS: Final = 16_384
"""Strips or tiles of a TIFF; Pillow takes some 15 microseconds for each."""
_MAX_TAGS: Final = 1024
_TIFF_STRIPS: Final = frozenset((273, 324))
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT: Final = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"))
_MAX_EXIF: Final = 65_535
_JPEG_DROPPED: Final = frozenset((*range(0xE1, 0xEE), 0xEF, 0xFE)) - {0xE1}
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset((0xC2, 0xCA))
_TIFF_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_ORIENTATION: Final = 0x0112


@dataclass(frozen=True)
class ReducedImage:
    """A file with nothing but what its pixels depend on.

    ``single_scan``: a sequential JPEG in one scan, whose rows appear as its bytes come, so that an early end shows.
    ``scan_units``: work of the scans of another JPEG, in units of a block that a scan passes over (some 8 ns).
    ``ended``: not a JPEG in several scans that lacks its end marker.
    """

    data: bytes
    single_scan: bool = False
    scan_units: int = 0
    ended: bool = True


def reduce_image(data: bytes) -> ReducedImage:
    """Return the file without what its pixels do not depend on; a JPEG gets the end marker that it lacks.

    Raises ImageTooLargeError for one with parts without end and ImageDecodeError for a JPEG that is cut off.
    """
    if data.startswith(b"\xff\xd8"):
        return _reduced_jpeg(data)
    if data.startswith(_PNG):
        return ReducedImage(_reduced_png(data))
    if data.startswith((b"GIF87a", b"GIF89a")):
        return ReducedImage(_reduced_gif(data))
    if data.startswith((b"II*\x00", b"MM\x00*")):
        _check_tiff(data)
    return ReducedImage(data)


def exif_orientation(exif: bytes) -> int:
    """Return the orientation 1..8 of an EXIF block; 1 where there is none, and where it is damaged, as in browsers."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for index in range(min(count, _MAX_TAGS)):
            tag, kind, number, value = struct.unpack_from(order + "HHIH", exif, start + 2 + 12 * index)
            if tag == _ORIENTATION:
                return value if kind == 3 and number == 1 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


@dataclass
class _Scans:
    """The scans of a JPEG: their cost, and the lowest bit that has come of each coefficient of each component."""

    marker: int = 0
    count: int = 0
    blocks: dict[int, int] = field(default_factory=dict)
    work: int = 0
    lowest_bit: dict[tuple[int, int], int] = field(default_factory=dict)

    def frame(self, marker: int, body: bytes) -> None:
        """Read the frame header: blocks of each component."""
        self.marker = marker
        _, height, width, count = struct.unpack_from(">BHHB", body)
        parts = [body[6 + 3 * index : 9 + 3 * index] for index in range(count)]
        across = max(part[1] >> 4 for part in parts) or 1
        down = max(part[1] & 15 for part in parts) or 1
        for part in parts:
            columns = -(-width * (part[1] >> 4) // (8 * across))
            rows = -(-height * (part[1] & 15) // (8 * down))
            self.blocks[part[0]] = columns * rows

    def scan(self, body: bytes, size: int) -> None:
        """Add a scan with ``size`` bytes of data."""
        self.count += 1
        count = body[0]
        components = [body[1 + 2 * index] for index in range(count)]
        first, last, bits = body[1 + 2 * count : 4 + 2 * count]
        span = max(1, min(last, 63) - first + 1)
        blocks = sum(self.blocks.get(component, 0) for component in components)
        if self.marker >= 0xC9:
            self.work += 2 * span * blocks
        elif self.marker in _PROGRESSIVE and bits >> 4:
            self.work += blocks + blocks * span // 6
        else:
            self.work += blocks + 5 * min(blocks, 8 * size)
        self.work += size
        for component in components:
            for coefficient in range(first, min(last, 63) + 1):
                self.lowest_bit[component, coefficient] = bits & 15

    def lacks_scans(self) -> bool:
        """Report a file that begins an image and does not send all of it."""
        if self.marker not in _PROGRESSIVE:
            return any((component, 0) not in self.lowest_bit for component in self.blocks)
        begun = [component for component in self.blocks if (component, 0) in self.lowest_bit]
        return any(self.lowest_bit.get((component, k), 1) for component in begun for k in range(64))


def _marker_starts(data: bytes) -> NDArray[np.intp]:
    """Return where markers start: 0xff and a code that is neither a stuffed zero, a fill byte nor a restart."""
    values = np.frombuffer(data, np.uint8)
    starts: NDArray[np.intp] = np.flatnonzero(values[:-1] == 0xFF)
    codes = values[starts + 1]
    kept: NDArray[np.intp] = starts[(codes != 0) & (codes != 0xFF) & ((codes < 0xD0) | (codes > 0xD7))]
    return kept


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of each segment; a scan's end is that of its data. The last is the end marker's."""
    at, starts = 2, _marker_starts(data)
    for _ in range(MAX_SEGMENTS):
        index = int(np.searchsorted(starts, at))
        if index == len(starts):
            return
        start = int(starts[index])
        marker = data[start + 1]
        if marker in {0xD8, 0x01}:
            at = start + 2
            continue
        if marker == 0xD9 or start + 4 > len(data):
            yield marker, start, min(start + 2, len(data))
            return
        end = start + 2 + struct.unpack_from(">H", data, start + 2)[0]
        if marker == 0xDA:
            following = int(np.searchsorted(starts, end))
            end = len(data) if following == len(starts) else int(starts[following])
        yield marker, start, min(end, len(data))
        at = end
    raise ImageTooLargeError(f"expected a JPEG of at most {MAX_SEGMENTS} segments, got more")


def _reduced_jpeg(data: bytes) -> ReducedImage:
    scans, kept, ended, exif = _Scans(), [b"\xff\xd8"], False, False
    try:
        for marker, start, end in _segments(data):
            body = data[start + 4 : end]
            ended = marker == 0xD9
            if marker in _FRAMES:
                scans.frame(marker, body)
            elif marker == 0xDA:
                scans.scan(body, end - start)
            is_exif = marker == 0xE1 and body.startswith(b"Exif\0\0") and not exif
            exif = exif or is_exif
            if is_exif or (marker != 0xE1 and marker not in _JPEG_DROPPED):
                kept.append(data[start:end])
    except (struct.error, ValueError, IndexError):
        return ReducedImage(data)
    if scans.blocks and scans.lacks_scans():
        raise ImageDecodeError("expected a whole JPEG image, got one that lacks scans: it is cut off")
    if not ended:
        kept[-1] = kept[-1].rstrip(b"\xff")
        kept.append(b"\xff\xd9")
    single = scans.count == 1 and scans.marker not in _PROGRESSIVE
    return ReducedImage(b"".join(kept), single, 0 if single else scans.work, ended or single)


def _reduced_png(data: bytes) -> bytes:
    kept, at = [_PNG], len(_PNG)
    for _ in range(MAX_PARTS):
        if at + 12 > len(data):
            break
        (size,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + size
        if end > len(data):
            break
        if kind in _PNG_KEPT and not (kind == b"eXIf" and size > _MAX_EXIF):
            kept.append(data[at:end])
        elif not kind[:1].islower():
            break
        at = end
        if kind == b"IEND":
            return b"".join(kept)
    else:
        raise ImageTooLargeError(f"expected a PNG of at most {MAX_PARTS} chunks, got more")
    return b"".join((*kept, data[at:]))


def _reduced_gif(data: bytes) -> bytes:
    """Keep the screen, its palette, the first image's control block and what follows it."""
    if len(data) < 13:
        return data
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    head, control = data[:at], b""
    parts = 0
    while data[at : at + 1] == b"!":
        start, at = at, at + 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
            parts += 1
            if parts > MAX_PARTS:
                raise ImageTooLargeError(f"expected a GIF of at most {MAX_PARTS} blocks before its image, got more")
        at += 1
        parts += 1
        if data[start + 1 : start + 2] == b"\xf9":
            control = data[start:at]
    return head + control + data[at:]


def _check_tiff(data: bytes) -> None:
    """Refuse tags that claim more values than the file has bytes: Pillow copies them even where they overlap."""
    order = "<" if data[:1] == b"I" else ">"
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        entries = [struct.unpack_from(order + "HHI", data, start + 2 + 12 * index) for index in range(count)]
    except struct.error:
        return
    claimed = sum(_TIFF_SIZES.get(kind, 1) * number for _, kind, number in entries)
    if count > _MAX_TAGS or claimed > len(data):
        raise ImageTooLargeError(
            f"expected TIFF tags of at most {_MAX_TAGS} and {len(data)} bytes, got {count} and {claimed}"
        )
    strips = max((number for tag, _, number in entries if tag in _TIFF_STRIPS), default=0)
    if strips > MAX_STRIPS:
        raise ImageTooLargeError(f"expected a TIFF of at most {MAX_STRIPS} strips or tiles, got {strips}")

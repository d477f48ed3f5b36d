"""Generated images that cost more than their pixels: small files with scans, tags, comments or texts without end."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain

from PIL import Image, features

from tests.helpers.images import corner_image, encoded, png_bomb, png_chunk, raw_png

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def empty_scans(side: int, scans: int, *, refining: bool = False, arithmetic: bool = False) -> bytes:
    """A progressive gray JPEG whose scans say that every block is empty: some 60 bytes a scan."""
    codes, left = "", ((side + 7) // 8) ** 2
    while left > 0:
        run = min(max(left, 16384), 32767)
        codes += "0" + format(run - 16384, "014b")
        left -= run
    codes += "1" * (-len(codes) % 8)
    data = bytes(int(codes[i : i + 8], 2) for i in range(0, len(codes), 8)).replace(b"\xff", b"\xff\0")
    head = b"\xff\xd8" + jpeg_segment(0xDB, b"\0" + b"\x10" * 64)
    head += jpeg_segment(0xCA if arithmetic else 0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    head += jpeg_segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\xe0")
    first = jpeg_segment(0xDA, b"\1\1\0\1\x3f" + (b"\1" if refining else b"\0")) + data
    again = jpeg_segment(0xDA, b"\1\1\0\1\x3f\x10") + data if refining else first
    return head + first + again * (scans - 1) + b"\xff\xd9"


def gif_with_comments(count: int) -> bytes:
    data = encoded(corner_image(), "GIF")
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    return data[:at] + b"!\xfe" + b"\1x" * count + b"\0" + data[at:]


def tiff_with_overlapping_tags(count: int, size: int) -> bytes:
    head = struct.pack("<2sHIH", b"II", 42, 8, count)
    entries = b"".join(struct.pack("<HHII", 1000 + index, 7, size, 0) for index in range(count))
    return head + entries + bytes(4) + bytes(size)


def interlaced_png(width: int, height: int) -> bytes:
    """A black RGB PNG in the seven passes of Adam7."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    size = sum(
        -(-(height - top) // down) * (1 + 3 * -(-(width - left) // across)) for left, top, across, down in passes
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(size), 1)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bmp_with_run_lengths(side: int, runs: int) -> bytes:
    """A BMP of 8 bits in run lengths of one pixel: two bytes a pixel, each of which Pillow reads in Python."""
    head = struct.pack("<2sIHHI", b"BM", 1078 + 2 * runs, 0, 0, 1078)
    head += struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 2 * runs, 0, 0, 256, 0)
    return head + bytes(1024) + b"\1\5" * runs


def tiff_with_strips(count: int) -> bytes:
    """A gray TIFF of 16000x2500 pixels that names ``count`` strips."""
    width, height, after = 16_000, 2500, 8 + 2 + 9 * 12 + 4
    longs = {256: width, 257: height, 278: 1}
    shorts = {258: 8, 259: 1, 262: 1, 277: 1}
    lists = {273: after, 279: after + 4 * count}
    entries = {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in longs.items()}
    entries |= {tag: struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in shorts.items()}
    entries |= {tag: struct.pack("<HHII", tag, 4, count, at) for tag, at in lists.items()}
    body = b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    strips = struct.pack("<I", 8) * count + struct.pack("<I", 1) * count
    return (struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + strips).ljust(width + 8, b"\0")


def _photo(width: int, height: int) -> Image.Image:
    return Image.effect_noise((width // 16, height // 16), 80).resize((width, height)).convert("RGB")


def _noise(side: int) -> Image.Image:
    return Image.merge("RGB", [Image.effect_noise((side, side), 200) for _ in range(3)])


_LARGE: dict[str, Callable[[], bytes]] = {
    "JPEG photo of 40 MP": lambda: encoded(_photo(6300, 6300), "JPEG", quality=90),
    "JPEG progressive 40 MP": lambda: encoded(_photo(6300, 6300), "JPEG", progressive=True),
    "JPEG progressive noise": lambda: encoded(_noise(2600), "JPEG", progressive=True),
    "JPEG empty scans": lambda: empty_scans(6000, 80),
    "PNG interlaced": lambda: interlaced_png(6300, 6300),
    "PNG 16 bit RGBA": lambda: raw_png(6000, 6000, 16, 6, bytes(6000 * 8 + 1) * 6000),
    "PNG noise": lambda: encoded(_noise(2200), compress_level=1),
    "WEBP lossless": lambda: encoded(Image.new("RGB", (6300, 6300)), "WEBP", lossless=True, method=0, quality=0),
    "WEBP at its limit": lambda: encoded(_photo(5100, 5100), "WEBP", method=0, quality=50),
    "WEBP noise": lambda: encoded(_noise(2400), "WEBP", method=0, quality=90),
    "GIF large": lambda: encoded(Image.effect_noise((3300, 3300), 200), "GIF"),
    "TIFF LZMA": lambda: encoded(Image.new("RGB", (3500, 3500)), "TIFF", compression="lzma"),
    "TIFF float": lambda: encoded(Image.new("F", (6300, 6300)), "TIFF", compression="tiff_adobe_deflate"),
    "TIFF strips": lambda: tiff_with_strips(1_000_000),
    "TIFF allowed strips": lambda: tiff_with_strips(16_384),
    "BMP run lengths": lambda: bmp_with_run_lengths(6300, 8_000_000),
    "BMP fewer run lengths": lambda: bmp_with_run_lengths(5000, 500_000),
} | (
    {
        "AVIF flat": lambda: encoded(Image.new("RGBA", (6300, 6300)), "AVIF", speed=10),
        "AVIF photo": lambda: encoded(_photo(5000, 5000), "AVIF", speed=10),
    }
    if features.check("avif")
    else {}
)


@cache
def _large(kind: str) -> bytes:
    return _LARGE[kind]()


def _work_bombs(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    side = rng.choice((2000, 4000, 6000, 6300))
    scans = rng.choice((10, 100, 1000, 4000))
    yield "JPEG scans", empty_scans(side, scans)
    yield "JPEG refining scans", empty_scans(side, rng.choice((5, 20, 1000)), refining=True)
    yield "JPEG arithmetic scans", empty_scans(side, rng.choice((2, 20, 500)), arithmetic=True)
    yield "JPEG comments", b"\xff\xd8" + jpeg_segment(0xFE, b"x") * rng.choice((100, 500_000))
    png = encoded(corner_image())
    kind = rng.choice((b"zTXt", b"iCCP"))
    yield "PNG text", png[:33] + png_chunk(kind, b"k\0\0" + zlib.compress(bytes(30_000_000), 1)) + png[33:]
    yield "PNG chunks", png[:33] + png_chunk(b"tEXt", b"k\0") * rng.choice((1000, 300_000)) + png[33:]
    yield "PNG exif", png[:33] + png_chunk(b"eXIf", tiff_with_overlapping_tags(5000, 2_000_000)) + png[33:]
    yield "PNG pixels", png_bomb(side, side)
    yield "PNG too large", png_bomb(60_000, 60_000)
    yield "PNG 16 bit", raw_png(3000, 3000, 16, 6, bytes(3000 * 8 + 1) * 3000)
    yield "GIF comments", gif_with_comments(rng.choice((1000, 2_000_000)))
    frames = [Image.new("L", (200, 200), shade % 256) for shade in range(rng.choice((3, 60)))]
    for animation in ("GIF", "WEBP", "PNG"):
        yield f"{animation} frames", encoded(frames[0], animation, save_all=True, append_images=frames[1:])
    yield "TIFF tags", tiff_with_overlapping_tags(rng.choice((100, 60_000)), 2_000_000)
    flat = Image.new("L", (side, side))
    yield "TIFF deflate", encoded(flat, "TIFF", compression="tiff_adobe_deflate")
    yield "TIFF lzw", encoded(flat, "TIFF", compression="tiff_lzw")
    yield "WEBP pixels", encoded(Image.new("RGB", (3000, 3000)), "WEBP", method=0)
    yield (
        "BMP header",
        struct.pack("<2sIIIIiiHHIIiiII", b"BM", 58, 0, 54, 40, side, side, 1, 8, 1, 4, 0, 0, 0, 0) + b"\0\1",
    )


def _damaged(rng: random.Random, kind: str) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    Image.effect_noise((rng.randrange(1, 300), rng.randrange(1, 300)), 80).save(buffer, kind)
    data = bytearray(buffer.getvalue())
    for _ in range(rng.randrange(1, 12)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return f"{kind} damaged", bytes(data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.5 else data)


def hostile_images(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield (kind, bytes) of ``count`` images, work bombs of every format and damaged ones by turns.

    From 200 on the largest of every format are among them, which take a minute to make.
    """
    rng, made = random.Random(seed), 0
    while made < count:
        largest = ((kind, _large(kind)) for kind in _LARGE) if count >= 200 else ()
        for bomb in chain(_work_bombs(rng), largest):
            for one in (bomb, _damaged(rng, rng.choice(FORMATS)), _damaged(rng, rng.choice(FORMATS))):
                if made == count:
                    return
                made += 1
                yield one

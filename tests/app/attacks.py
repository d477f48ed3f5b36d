"""Hostile images and requests, generated from seeds."""

import base64
import json
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from tests.helpers.images import corner_image, encoded, png_bomb, png_chunk, raw_png, stored_with_orientation

KINDS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")


@dataclass(frozen=True)
class Attack:
    name: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""


def natural(kind: str, seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 60, (48, 64, 3), np.uint8)
    return encoded(Image.fromarray(np.asarray(corner_image(64, 48)) - noise), kind)


def truncations() -> Iterator[Attack]:
    for kind in KINDS:
        data = natural(kind)
        for part in range(64):
            yield Attack(f"{kind} cut at {part}/64", data[: len(data) * part // 64])


def bit_flips() -> Iterator[Attack]:
    rng = random.Random(2)
    for kind in KINDS:
        for number in range(40):
            data = bytearray(natural(kind))
            for _ in range(rng.choice((1, 1, 4, 32))):
                data[rng.randrange(len(data) if number % 2 else 64)] ^= 1 << rng.randrange(8)
            yield Attack(f"{kind} with flipped bits {number}", bytes(data))


def bombs() -> Iterator[Attack]:
    for side in (13_000, 30_000, 65_000):
        yield Attack(f"PNG of {side}x{side}", png_bomb(side, side) if side == 13_000 else huge_header(side))
    yield Attack("PNG of 1x100000", raw_png(1, 100_000, 8, 0, bytes(2) * 100_000))
    yield Attack("PNG with a huge text chunk", raw_png(2, 2, 8, 0, bytes(6), compressed_text(50_000_000)))
    yield Attack("PNG with a huge profile", raw_png(2, 2, 8, 0, bytes(6), compressed_profile(50_000_000)))
    yield Attack("PNG with too many rows", raw_png(2, 2, 8, 0, bytes(20_000_000)))
    for name, size in (("screen", 6), ("frame", None)):
        gif = bytearray(encoded(Image.new("P", (4, 4)), "GIF"))
        at = size if size is not None else gif.index(b"\x2c") + 5
        gif[at : at + 4] = struct.pack("<HH", 65_535, 65_535)
        yield Attack(f"GIF with a huge {name}", bytes(gif))
    frames = [Image.new("P", (60, 60), index) for index in range(500)]
    yield Attack("GIF of 500 frames", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    bmp = bytearray(natural("BMP"))
    bmp[18:26] = struct.pack("<ii", 40_000, -40_000)
    yield Attack("BMP of 40000x-40000", bytes(bmp))
    jpeg = natural("JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    yield Attack("JPEG of 65500x65500", jpeg[:at] + struct.pack(">HH", 65_500, 65_500) + jpeg[at + 4 :])


def huge_header(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000)))


def compressed_text(size: int) -> bytes:
    return png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(size)))


def compressed_profile(size: int) -> bytes:
    return png_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(size)))


def odd_images() -> Iterator[Attack]:
    png = natural("PNG")
    yield Attack("1x1", encoded(Image.new("L", (1, 1))))
    yield Attack("1x2000", encoded(Image.new("L", (1, 2000))))
    yield Attack("2000x1", encoded(Image.new("L", (2000, 1)), "JPEG"))
    yield Attack("no pixels", raw_png(0, 0, 8, 0, b""))
    yield Attack("JPEG and ZIP", natural("JPEG") + b"PK\x03\x04" + bytes(200))
    yield Attack("GIF and script", natural("GIF") + b"<script>alert(1)</script>")
    yield Attack("wrong checksums", png.replace(b"IDAT", b"IDAT"[::-1], 1))
    yield Attack("no palette", raw_png(2, 2, 8, 3, bytes(6)))
    yield Attack("palette index out of range", raw_png(2, 1, 8, 3, b"\0\xff\xfe", png_chunk(b"PLTE", bytes(3))))
    yield Attack("16 bit transparency in 8 bit", raw_png(2, 1, 8, 2, bytes(7), png_chunk(b"tRNS", b"\xff" * 6)))
    yield Attack("16 bit rgb transparency", raw_png(1, 1, 16, 2, bytes(7), png_chunk(b"tRNS", b"\xff\xfe" * 3)))
    yield Attack(
        "exif loops", raw_png(2, 1, 8, 0, bytes(3), png_chunk(b"eXIf", b"MM\0\x2a\0\0\0\x08\xff\xff" + b"\x01" * 90))
    )
    yield Attack(
        "exif orientation text",
        stored_with_orientation(corner_image(), 6).replace(b"\x01\x12\0\x03", b"\x01\x12\0\x02"),
    )
    for head in (
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        b"II*\0",
        b"\0\0\0\x18ftypheic",
        b"PK\3\4",
        b"8BPS",
    ):
        yield Attack(f"starts with {head[:8]!r}", head + bytes(100))
    for head in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 "):
        for size in (0, 10, 1000):
            yield Attack(f"{head[:4]!r} and {size} random bytes", head + random.Random(size).randbytes(size))
    for seed in range(10):
        yield Attack(f"random bytes {seed}", random.Random(seed).randbytes(seed * 37))


def broken_documents() -> Iterator[Attack]:
    png = natural("PNG")
    text = base64.b64encode(png).decode()
    as_json = {"content-type": "application/json"}
    documents: list[Any] = [
        None,
        1,
        "x",
        [],
        {},
        {"image": None},
        {"image": []},
        {"image": text[:-1]},
        {"image": text[:-5]},
        {"image": "=" * 50},
        {"image": "data:,"},
        {"image": "data:image/png;base64"},
        {"image": text + "\0"},
        {"image": "é"},
        {"image": "\ud800"},
        {"images": text},
        {"images": [text, 1]},
        {"images": [[text]]},
        {"images": [text] * 100},
        {"images": [""]},
        {"image": text, "images": [text]},
        {"image": text, "classes": [{}]},
        {"image": text, "classes": ["a" * 300]},
        {"image": text, "classes": list(range(3, 500))},
        {"image": text, "score_threshold": 10**400},
        {"image": text, "max_detections": 10**30},
        {"image": text, "max_detections": -1},
        {"image": text, "model": "../../etc/passwd"},
        {"image": text, "model": "\0"},
        {"image": text, "format": ["coco"]},
        {"image": text, "__proto__": 1},
        {"image": text, "": 1},
    ]
    for document in documents:
        yield Attack(f"JSON {str(document)[:60]}", json.dumps(document).encode(), as_json)
    for body in (
        b"",
        b"{",
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"NaN",
        b"1" * 10_000,
        b'{"image": "\\ud800"}',
    ):
        yield Attack(f"JSON body {body[:20]!r}", body, as_json)
    yield Attack("JSON in latin-1", '{"image": "é"}'.encode("latin-1"), as_json)


def broken_options() -> Iterator[Attack]:
    png = natural("PNG")
    for value in (
        "nan",
        "1e999",
        "-1",
        "0x10",
        "٣",
        "true",
        "[]",
        "%00",
        "1" * 5000,
        "' OR 1=1",
        "{{7*7}}",
        "%F0%9F%92%A9",
        "%ff",
    ):
        for option in ("score_threshold", "max_detections", "classes", "model", "format"):
            yield Attack(f"{option}={value[:20]}", png, {"content-type": "image/png"}, f"?{option}={value}")
    yield Attack("many query fields", png, {}, "?" + "&".join(f"x{i}=1" for i in range(3000)))
    yield Attack("many classes", png, {}, "?" + "&".join(f"classes={i}" for i in range(3000)))
    for kind in (
        "image/jpeg",
        "image/svg+xml",
        "image/",
        "IMAGE/PNG; x=y",
        "application/pdf",
        "text/html",
        ";",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
        "application/json; charset=utf-7",
        "application/x-www-form-urlencoded",
    ):
        yield Attack(f"PNG sent as {kind}", png, {"content-type": kind})
    for accept in (
        "text/html",
        "image/webp",
        "*/*;q=0",
        "image/*",
        "image/png;q=x",
        "q=1",
        ",,,",
        "application/problem+json",
        "a" * 5000,
    ):
        yield Attack(f"Accept {accept[:30]}", png, {"accept": accept})


def broken_multipart() -> Iterator[Attack]:
    png = natural("PNG")
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    bodies = {
        "never closed": part + png,
        "closed twice": part + png + b"\r\n--b--\r\n--b--\r\n",
        "no name": b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\n' + png + b"\r\n--b--\r\n",
        "no disposition": b"--b\r\n\r\n" + png + b"\r\n--b--\r\n",
        "no parts": b"--b--\r\n",
        "nothing": b"",
        "header without end": b"--b\r\nContent-Disposition: form-data; name=" + b"x" * 20_000,
        "many headers": b"--b\r\n" + b"X-A: 1\r\n" * 5000 + b"\r\n--b--\r\n",
        "null in the name": part.replace(b"image", b"im\0age") + png + b"\r\n--b--\r\n",
        "path as file name": part.replace(b"a.png", b"../../etc/passwd") + png + b"\r\n--b--\r\n",
        "no line ends": part.replace(b"\r\n", b"\n") + png,
        "many empty parts": (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n') * 3000 + b"--b--\r\n",
        "many empty files": (part + b"\r\n") * 3000 + b"--b--\r\n",
        "transfer encoding": part[:-2]
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode(png)
        + b"\r\n--b--\r\n",
    }
    for name, body in bodies.items():
        yield Attack(f"multipart: {name}", body, {"content-type": "multipart/form-data; boundary=b"})
    for boundary in ("", '""', "x" * 500, "b; charset=nonsense", "\u00e9", "b;;;"):
        yield Attack(
            f"boundary {boundary[:20]!r}", part + png, {"content-type": f"multipart/form-data; boundary={boundary}"}
        )


def attacks() -> list[Attack]:
    return [
        *truncations(),
        *bit_flips(),
        *bombs(),
        *odd_images(),
        *broken_documents(),
        *broken_options(),
        *broken_multipart(),
    ]

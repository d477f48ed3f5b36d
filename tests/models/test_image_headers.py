"""Files that cost more than their pixels, and files as people have them: metadata, missing ends."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.hostile_images import (
    bmp_with_run_lengths,
    empty_scans,
    gif_with_comments,
    jpeg_segment,
    tiff_with_overlapping_tags,
    tiff_with_strips,
)
from tests.helpers.images import corner_image, encoded, png_chunk, raw_png
from yoloscope.models.errors import ImageDecodeError, ImageTooLargeError
from yoloscope.models.image_headers import exif_orientation, reduce_image
from yoloscope.models.images import ImageLimits, decode_image, image_size, read_image

LIMITS = ImageLimits(max_bytes=16_000_000, max_pixels=40_000_000, max_side=16_384)
XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
XMP_SEGMENT = jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)


def pixels(data: bytes) -> np.ndarray:
    return decode_image(data, LIMITS).pixels


def pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def exif(orientation: int, order: str = "<") -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + mark + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def refused_or_equal(data: bytes, whole: np.ndarray) -> bool:
    """Whether a file is refused as cut off or gives the very pixels of the whole one."""
    try:
        return np.array_equal(pixels(data), whole)
    except ImageDecodeError as error:
        return "cut off" in str(error)


def webp_header(width: int, height: int, kind: bytes) -> bytes:
    """A flat WebP (VP8L, VP8 or VP8X) of any size; the header is what counts."""
    data = encoded(Image.new("RGB", (width, height)), "WEBP", lossless=kind == b"VP8L", method=0, quality=0)
    assert data[12:16] == kind
    return data


def tiff_in_lzma(width: int, height: int) -> bytes:
    """A small TIFF in LZMA whose tags say another size."""
    data = bytearray(encoded(Image.new("RGBA", (8, 8)), "TIFF", compression="lzma"))
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from("<HH", data, at)
        if tag in {256, 257}:
            data[at + 8 : at + 12] = struct.pack("<HH" if kind == 3 else "<I", *([width, 0] if kind == 3 else [width]))
    assert height == width
    return bytes(data)


class TestWork:
    def test_thousands_of_empty_scans_are_refused(self) -> None:
        with pytest.raises(ImageTooLargeError, match="scans"):
            decode_image(empty_scans(6000, 4000), LIMITS)

    @pytest.mark.parametrize(
        ("kind", "data"),
        [
            ("scans", empty_scans(6000, 20, refining=True)),
            ("BMP", bmp_with_run_lengths(5000, 8_000_000)),
            ("strips", tiff_with_strips(16_385)),
            ("PNG", raw_png(6300, 6300, 16, 6, b"\0")),
            ("WEBP", webp_header(6300, 6300, b"VP8L")),
            ("TIFF", tiff_in_lzma(6300, 6300)),
        ],
        ids=["scans", "run lengths", "strips", "16 bit", "webp", "lzma"],
    )
    def test_what_takes_a_decoder_too_long_is_refused_by_its_header(self, kind: str, data: bytes) -> None:
        with pytest.raises(ImageTooLargeError, match=kind):
            decode_image(data, ImageLimits(2**24, 40_000_000, 16_384))

    def test_the_time_is_a_limit_of_the_caller(self) -> None:
        data = empty_scans(2000, 100)
        with pytest.raises(ImageTooLargeError, match=r"at most 0\.05 s .* JPEG of 2000x2000"):
            decode_image(data, ImageLimits(2**24, 40_000_000, 16_384, max_decode_s=0.05))
        assert decode_image(data, ImageLimits(2**24, 40_000_000, 16_384)).width == 2000

    def test_a_photo_of_forty_megapixels_is_read(self) -> None:
        photo = Image.effect_noise((500, 312), 80).resize((8000, 5000)).convert("RGB")
        assert decode_image(encoded(photo, "JPEG", quality=90), LIMITS).pixels.shape == (5000, 8000, 3)

    def test_a_hundred_scans_of_a_small_image_are_read(self) -> None:
        assert pixels(empty_scans(640, 100)).shape == (640, 640, 3)

    @pytest.mark.parametrize("subsampling", [0, 1, 2])
    def test_a_progressive_photo_is_read_as_pillow_reads_it(self, subsampling: int) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
        photo = Image.fromarray(noise).resize((300, 200), Image.Resampling.BICUBIC)
        data = encoded(photo, "JPEG", progressive=True, subsampling=subsampling)
        np.testing.assert_array_equal(pixels(data), pillow(data))

    def test_segments_without_end_are_refused(self) -> None:
        data = encoded(corner_image(), "JPEG")
        with pytest.raises(ImageTooLargeError, match="segments"):
            pixels(data[:2] + jpeg_segment(0xFE, b"") * 10_001 + data[2:])

    def test_comments_of_a_gif_without_end_are_refused(self) -> None:
        with pytest.raises(ImageTooLargeError, match="blocks"):
            pixels(gif_with_comments(100_001))

    def test_comments_of_a_gif_are_passed_over(self) -> None:
        np.testing.assert_array_equal(pixels(gif_with_comments(1000)), pixels(gif_with_comments(0)))

    def test_chunks_of_a_png_without_end_are_refused(self) -> None:
        data = encoded(corner_image())
        with pytest.raises(ImageTooLargeError, match="chunks"):
            pixels(data[:33] + png_chunk(b"tEXt", b"") * 100_001 + data[33:])

    def test_tags_of_a_tiff_that_overlap_are_refused(self) -> None:
        with pytest.raises(ImageTooLargeError, match="tags"):
            pixels(tiff_with_overlapping_tags(1000, 100_000))


class TestMetadata:
    @pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
    def test_a_large_text_or_profile_in_a_png_is_passed_over(self, kind: bytes) -> None:
        data = encoded(corner_image())
        bomb = png_chunk(kind, b"k\0\0" + zlib.compress(bytes(2_000_000)))
        np.testing.assert_array_equal(pixels(data[:33] + bomb + data[33:]), np.asarray(corner_image()))

    def test_xmp_alone_does_not_turn_a_jpeg(self, tmp_path: Path) -> None:
        data = encoded(corner_image(), "JPEG")
        turned = data[:2] + XMP_SEGMENT + data[2:]
        (tmp_path / "a.jpg").write_bytes(turned)
        np.testing.assert_array_equal(pixels(turned), pillow(data))
        np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), pillow(data))
        assert image_size(tmp_path / "a.jpg") == (60, 40)

    def test_xmp_alone_does_not_turn_a_png(self) -> None:
        data = encoded(corner_image())
        chunk = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
        np.testing.assert_array_equal(pixels(data[:33] + chunk + data[33:]), np.asarray(corner_image()))

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_the_orientation_of_exif(self, orientation: int, order: str) -> None:
        assert exif_orientation(exif(orientation, order)) == orientation

    @pytest.mark.parametrize(
        "block", [b"", b"Exif\0\0", exif(6)[:20], exif(0), exif(9), b"Exif\0\0II*\0\xff\xff\xff\xff"]
    )
    def test_a_damaged_exif_turns_nothing(self, block: bytes) -> None:
        assert exif_orientation(block) == 1

    def test_exif_beside_xmp_turns(self) -> None:
        data = encoded(corner_image(), "JPEG")
        turned = data[:2] + XMP_SEGMENT + jpeg_segment(0xE1, exif(3)) + data[2:]
        np.testing.assert_array_equal(pixels(turned), pillow(data)[::-1, ::-1])

    def test_what_is_not_needed_is_left_out(self) -> None:
        data = encoded(corner_image(), "JPEG")
        more = data[:2] + XMP_SEGMENT + jpeg_segment(0xFE, b"comment") + data[2:]
        assert reduce_image(more).data == data


class TestEnds:
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    @pytest.mark.parametrize("options", [{}, {"progressive": True}])
    def test_a_jpeg_without_its_end_marker_is_read(self, mode: str, options: dict[str, bool]) -> None:
        data = encoded(corner_image().convert(mode), "JPEG", **options)
        np.testing.assert_array_equal(pixels(data[:-2]), pixels(data))

    @pytest.mark.parametrize("ending", [b"", b"\xff\xd9"])
    @pytest.mark.parametrize("part", [0.6, 0.75, 0.9])
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_a_jpeg_that_is_cut_off_is_refused(self, mode: str, part: float, ending: bytes) -> None:
        noise = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
        data = encoded(Image.fromarray(noise).convert(mode), "JPEG")
        with pytest.raises(ImageDecodeError, match="cut off"):
            pixels(data[: int(len(data) * part)] + ending)

    def test_a_progressive_jpeg_that_lacks_scans_is_refused(self) -> None:
        data = encoded(corner_image(), "JPEG", progressive=True)
        with pytest.raises(ImageDecodeError, match="lacks scans"):
            pixels(data[: data.rindex(b"\xff\xda")] + b"\xff\xd9")

    @pytest.mark.parametrize("part", [0.3, 0.5, 0.7, 0.9, 0.97])
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_a_progressive_jpeg_that_is_cut_off_is_refused(self, mode: str, part: float) -> None:
        noise = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
        data = encoded(Image.fromarray(noise).convert(mode), "JPEG", progressive=True)
        with pytest.raises(ImageDecodeError, match="expected a whole JPEG image"):
            pixels(data[: int(len(data) * part)])

    def test_a_cut_within_the_last_scan_is_found_at_every_byte(self) -> None:
        noise = np.random.default_rng(2).integers(0, 256, (48, 48, 3), np.uint8)
        data = encoded(Image.fromarray(noise), "JPEG", progressive=True)
        whole, last = pixels(data), data.rindex(b"\xff\xda")
        for end in range(last + 10, len(data) - 2, 7):
            assert refused_or_equal(data[:end], whole)
        assert not refused_or_equal(data, whole[::-1])

    def test_a_sequential_jpeg_that_lacks_the_scan_of_a_component_is_refused(self) -> None:
        data = encoded(corner_image(), "JPEG", subsampling=0)
        start = data.index(b"\xff\xda")
        one = data[:start] + jpeg_segment(0xDA, b"\1\1\0\0\x3f\0") + data[start + 14 :]
        with pytest.raises(ImageDecodeError, match="lacks scans"):
            pixels(one)

    def test_a_black_image_is_not_taken_for_one_that_is_cut_off(self) -> None:
        assert pixels(encoded(Image.new("RGB", (33, 17)), "JPEG")).max() == 0

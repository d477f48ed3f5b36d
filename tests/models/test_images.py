"""Decoding: every mode and format becomes what a viewer shows, and limits are judged before decoding."""

import struct

import numpy as np
import pytest
from PIL import Image

from tests.helpers.images import (
    LIMITS,
    corner_image,
    encoded,
    png_bomb,
    png_chunk,
    raw_png,
    stored_with_orientation,
)
from yoloscope.models.errors import ImageDecodeError, ImageTooLargeError, ImageTypeError
from yoloscope.models.images import ImageLimits, decode_image

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def pixels(data: bytes, limits: ImageLimits = LIMITS) -> np.ndarray:
    return decode_image(data, limits).pixels


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_formats_give_rgb_of_the_right_size(kind: str) -> None:
    image = decode_image(encoded(corner_image(), kind), LIMITS)
    assert (image.width, image.height) == (60, 40)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.shape == (40, 60, 3)
    np.testing.assert_allclose(image.pixels[2, 2], (255, 0, 0), atol=12)
    np.testing.assert_allclose(image.pixels[37, 57], (0, 0, 255), atol=12)


def test_lossless_pixels_are_untouched() -> None:
    rng = np.random.default_rng(0)
    original = rng.integers(0, 256, (7, 5, 3), np.uint8)
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(original))), original)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_orientation_is_turned_upright(orientation: int, kind: str) -> None:
    upright = corner_image()
    options = {} if kind == "PNG" else {"quality": 95}
    got = pixels(stored_with_orientation(upright, orientation, kind, **options))
    assert got.shape == (40, 60, 3)
    assert np.abs(got.astype(int) - np.asarray(upright)).mean() < 6


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    np.testing.assert_array_equal(pixels(encoded(corner_image(), exif=exif)), np.asarray(corner_image()))


def test_damaged_exif_is_none() -> None:
    data = raw_png(2, 1, 8, 2, b"\0" + bytes(range(6)), png_chunk(b"eXIf", b"MM\0\x2a\xff\xff\xff\xff"))
    np.testing.assert_array_equal(pixels(data), [[[0, 1, 2], [3, 4, 5]]])


def test_gray_becomes_three_equal_channels() -> None:
    np.testing.assert_array_equal(
        pixels(encoded(Image.fromarray(np.array([[7, 200]], np.uint8)))), [[[7] * 3, [200] * 3]]
    )


def test_one_bit_becomes_black_and_white() -> None:
    np.testing.assert_array_equal(pixels(raw_png(2, 1, 1, 0, b"\0\x40")), [[[0] * 3, [255] * 3]])


@pytest.mark.parametrize("value", [0, 1, 128, 129, 257, 32896, 65279, 65535])
def test_16_bit_gray_is_scaled_not_clipped(value: int) -> None:
    data = raw_png(1, 1, 16, 0, b"\0" + struct.pack(">H", value))
    np.testing.assert_array_equal(pixels(data), [[[round(value / 257)] * 3]])


def test_16_bit_gray_with_a_transparent_value_is_white_there() -> None:
    rows = b"\0" + struct.pack(">HH", 514, 515)
    np.testing.assert_array_equal(
        pixels(raw_png(2, 1, 16, 0, rows, png_chunk(b"tRNS", b"\x02\x02"))), [[[255] * 3, [2] * 3]]
    )


def test_16_bit_rgb_is_scaled() -> None:
    data = raw_png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 65535, 32896, 0))
    np.testing.assert_allclose(pixels(data), [[[255, 128, 0]]], atol=1)


def test_palette_colors_are_looked_up() -> None:
    data = raw_png(2, 1, 8, 3, b"\0\x01\x00", png_chunk(b"PLTE", bytes((10, 20, 30, 40, 50, 60))))
    np.testing.assert_array_equal(pixels(data), [[[40, 50, 60], [10, 20, 30]]])


def test_transparent_palette_entries_show_the_white_page() -> None:
    palette = png_chunk(b"PLTE", bytes((10, 20, 30, 40, 50, 60)))
    data = raw_png(2, 1, 8, 3, b"\0\x01\x00", palette, png_chunk(b"tRNS", b"\0\xff"))
    np.testing.assert_array_equal(pixels(data), [[[40, 50, 60], [255, 255, 255]]])


def test_a_transparent_color_shows_the_white_page() -> None:
    rows = b"\0" + bytes((1, 2, 3, 4, 5, 6))
    data = raw_png(2, 1, 8, 2, rows, png_chunk(b"tRNS", bytes((0, 1, 0, 2, 0, 3))))
    np.testing.assert_array_equal(pixels(data), [[[255, 255, 255], [4, 5, 6]]])


def test_half_transparent_is_mixed_with_white() -> None:
    image = Image.fromarray(np.array([[[0, 0, 0, 128], [9, 9, 9, 0], [9, 8, 7, 255]]], np.uint8), "RGBA")
    np.testing.assert_allclose(pixels(encoded(image)), [[[127] * 3, [255] * 3, [9, 8, 7]]], atol=1)


def test_gray_with_alpha_is_mixed_with_white() -> None:
    image = Image.fromarray(np.array([[[50, 255], [50, 0]]], np.uint8), "LA")
    np.testing.assert_array_equal(pixels(encoded(image)), [[[50] * 3, [255] * 3]])


def test_cmyk_jpeg_has_the_right_colors() -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    np.testing.assert_allclose(pixels(encoded(image, "JPEG", quality=95))[8, 8], (255, 0, 0), atol=6)


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ((255, 0, 0), (0, 255, 0))]
    for kind in ("GIF", "WEBP", "PNG"):
        data = encoded(
            frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
        )
        np.testing.assert_allclose(pixels(data)[4, 4], (255, 0, 0), atol=3)


def test_a_small_file_with_many_pixels_is_refused_from_its_header() -> None:
    bomb = png_bomb(13_000, 13_000)
    assert len(bomb) < 25_000
    with pytest.raises(ImageTooLargeError, match="169000000 pixels"):
        decode_image(bomb, ImageLimits(16_000_000, 40_000_000, 16_384))


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (65_000, 65_000)])
def test_what_pillow_itself_refuses_is_too_large(width: int, height: int) -> None:
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    with pytest.raises(ImageTooLargeError):
        decode_image(data, ImageLimits(16_000_000, 40_000_000, 65_535))


def test_limits_are_inclusive() -> None:
    data = encoded(Image.new("L", (30, 20)))
    assert pixels(data, ImageLimits(len(data), 600, 30)).shape == (20, 30, 3)
    for limits in (
        ImageLimits(len(data) - 1, 600, 30),
        ImageLimits(len(data), 599, 30),
        ImageLimits(len(data), 600, 29),
    ):
        with pytest.raises(ImageTooLargeError):
            pixels(data, limits)


def test_a_gif_whose_frame_is_larger_than_its_screen_is_refused() -> None:
    gif = bytearray(encoded(Image.new("P", (4, 4)), "GIF"))
    at = gif.index(b"\x2c")
    gif[at + 5 : at + 9] = struct.pack("<HH", 60_000, 60_000)
    with pytest.raises((ImageTooLargeError, ImageDecodeError)):
        decode_image(bytes(gif), LIMITS)


@pytest.mark.parametrize("data", [b"hello", b"\x00" * 100, b"<svg/>", b"%PDF-1.7", b"JFIF", b"RIFF1234WAVE"])
def test_other_formats_are_refused_by_type(data: bytes) -> None:
    with pytest.raises(ImageTypeError, match="expected one of JPEG"):
        decode_image(data, LIMITS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_truncated_images_are_refused(kind: str) -> None:
    rng = np.random.default_rng(1)
    data = encoded(Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)), kind)
    for part in (0.2, 0.5, 0.9):
        with pytest.raises(ImageDecodeError):
            decode_image(data[: int(len(data) * part)], LIMITS)


def test_nothing_is_refused() -> None:
    with pytest.raises(ImageDecodeError, match="got 0 bytes"):
        decode_image(b"", LIMITS)

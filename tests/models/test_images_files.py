"""What is trained and evaluated on is what the service decodes, pixel for pixel."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from tests.helpers.images import encoded, png_chunk, raw_png
from tests.training.data.datasets.folders import write_image
from yoloscope.models.errors import ImageDecodeError, ImageTypeError
from yoloscope.models.images import ImageLimits, decode_image, image_size, read_image
from yoloscope.training.data.datasets.paths import find_images

LIMITS = ImageLimits(10**7, 10**7, 10**4)
RAMP = np.arange(20 * 30 * 4, dtype=np.int64).reshape(20, 30, 4) % 256
GREY_16 = (np.arange(600).reshape(20, 30) * 109).astype(np.uint16)

KINDS: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
    "RGB": (Image.fromarray(RAMP[..., :3].astype(np.uint8)), "png", {}),
    "RGBA": (Image.fromarray(RAMP.astype(np.uint8)), "png", {}),
    "gray": (Image.fromarray(RAMP[..., 0].astype(np.uint8)), "png", {}),
    "gray with one value transparent": (Image.fromarray(RAMP[..., 0].astype(np.uint8)), "png", {"transparency": 8}),
    "16-bit gray": (Image.fromarray(GREY_16), "png", {}),
    "palette": (Image.fromarray(RAMP[..., :3].astype(np.uint8)).quantize(8), "gif", {}),
    "CMYK": (Image.fromarray(RAMP.astype(np.uint8), "CMYK"), "jpg", {}),
    "JPEG": (Image.fromarray(RAMP[..., :3].astype(np.uint8)), "jpg", {}),
    "WebP": (Image.fromarray(RAMP.astype(np.uint8)), "webp", {"lossless": True}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_the_service(tmp_path: Path, kind: str) -> None:
    image, suffix, options = KINDS[kind]
    path = tmp_path / f"a.{suffix}"
    image.save(path, **options)
    pixels = read_image(path)
    np.testing.assert_array_equal(pixels, decode_image(path.read_bytes(), LIMITS).pixels)
    assert pixels.shape == (20, 30, 3)
    assert image_size(path) == (30, 20)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_upright(tmp_path: Path, orientation: int) -> None:
    path = write_image(tmp_path / "a.jpg", (30, 20), orientation)
    pixels = read_image(path)
    np.testing.assert_array_equal(pixels, decode_image(path.read_bytes(), LIMITS).pixels)
    assert image_size(path) == (pixels.shape[1], pixels.shape[0])
    assert image_size(path) == ((20, 30) if orientation >= 5 else (30, 20))


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_other_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (image_size, read_image):
        with pytest.raises(ImageDecodeError, match=r"a\.png"):
            read(path)


@pytest.mark.parametrize("suffix", ["tif", "TIFF"])
def test_a_tiff_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RAMP[..., :3].astype(np.uint8)).save(path)
    assert find_images(tmp_path) == (path,)
    np.testing.assert_array_equal(read_image(path), RAMP[..., :3])


def test_floats_from_nought_to_one_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").tolist() == [[[0] * 3, [128] * 3, [255] * 3]]


@pytest.mark.parametrize("level", [-0.5, 255.0, float("nan")])
def test_floats_of_another_range_are_refused(tmp_path: Path, level: float) -> None:
    Image.fromarray(np.array([[0, level]], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageDecodeError, match=r"a\.tif, got: expected floats of 0\.\.1"):
        read_image(tmp_path / "a.tif")


def test_a_gray_png_of_16_bits_with_a_transparent_value_reads_the_same_from_a_file_and_from_bytes(
    tmp_path: Path,
) -> None:
    """The transparent value shows the white page; 514 of 65535 is 2 of 255."""
    rows = b"\0" + struct.pack(">HH", 0x0202, 514 + 257)
    data = raw_png(2, 1, 16, 0, rows, png_chunk(b"tRNS", b"\x02\x02"))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert read_image(path).tolist() == [[[255] * 3, [3] * 3]]
    assert decode_image(data, LIMITS).pixels.tolist() == [[[255] * 3, [3] * 3]]


@pytest.mark.parametrize("mode", ["RGB", "F", "I;16"])
def test_a_tiff_reads_the_same_from_a_file_and_from_bytes(tmp_path: Path, mode: str) -> None:
    levels: dict[str, NDArray[Any]] = {
        "RGB": np.full((2, 3, 3), 7, np.uint8),
        "F": np.full((2, 3), 0.5, np.float32),
        "I;16": GREY_16[:2, :3],
    }
    path = tmp_path / "a.tiff"
    Image.fromarray(levels[mode]).save(path)
    expected = {"RGB": 7, "F": 128, "I;16": 0}[mode]
    assert read_image(path)[0, 0].tolist() == [expected] * 3
    assert np.array_equal(decode_image(path.read_bytes(), LIMITS).pixels, read_image(path))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_an_avif_is_read() -> None:
    data = encoded(Image.new("RGB", (16, 16), (200, 10, 10)), "AVIF")
    assert np.abs(decode_image(data, LIMITS).pixels.astype(int) - (200, 10, 10)).max() <= 6


def test_a_heic_photo_is_named_with_the_way_out() -> None:
    with pytest.raises(ImageTypeError, match="HEIC photo: export it as JPEG"):
        decode_image(b"\0\0\0\x18ftypheic" + b"\0" * 32, LIMITS)

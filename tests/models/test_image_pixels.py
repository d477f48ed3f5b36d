"""Some rows and columns of an image are those of the whole image, however it is stored."""

from functools import partial
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.helpers.images import LIMITS, encoded, stored_with_orientation
from tests.models.test_preprocess import make_spec
from yoloscope.models.errors import ImageDecodeError
from yoloscope.models.images import ImageLimits, decode_image, decode_samples
from yoloscope.models.preprocess import grid_of, preprocess, preprocess_samples
from yoloscope.models.resize import SourceGrid
from yoloscope.models.spec import DetectorSpec

GRAY = make_spec(96, 64).model_copy(update={"input_channels": 1})


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    levels = np.random.default_rng(width).integers(0, 256, (height, width, 4), np.uint8)
    return Image.fromarray(levels, "RGBA").convert(mode)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_chosen_rows_and_columns_are_those_of_the_upright_image(orientation: int) -> None:
    """Runs over strips of 64 rows, single rows, and columns with holes."""
    data = stored_with_orientation(noise(150, 210), orientation)
    whole = decode_image(data, LIMITS).pixels
    rows, columns = np.r_[3:80, 81, 90:92, 209], np.r_[0, 7, 40:149]
    samples = decode_samples(data, LIMITS, lambda *_: SourceGrid(rows, columns))
    assert (samples.width, samples.height) == (150, 210)
    np.testing.assert_array_equal(samples.pixels, whole[np.ix_(rows, columns)])


@pytest.mark.parametrize("spec", [make_spec(96, 64), make_spec(96, 64, "letterbox"), GRAY], ids=["rgb", "box", "gray"])
@pytest.mark.parametrize("size", [(700, 333), (96, 64), (1, 1), (40, 500), (30, 20)], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "I;16"])
def test_the_network_s_input_is_bit_for_bit_that_of_all_pixels(
    spec: DetectorSpec, size: tuple[int, int], mode: str
) -> None:
    image = noise(*size, mode if mode != "I;16" else "L")
    data = encoded(image if mode != "I;16" else Image.fromarray(np.asarray(image).astype(np.uint16) * 250))
    samples = decode_samples(data, LIMITS, partial(grid_of, spec=spec))
    assert samples.pixels.shape[0] <= 2 * 64
    found, placement = preprocess_samples(samples.pixels, samples.grid, samples.width, samples.height, spec)
    expected, expected_placement = preprocess(decode_image(data, LIMITS).pixels, spec)
    np.testing.assert_array_equal(found, expected)
    assert placement == expected_placement


@pytest.mark.parametrize("orientation", [1, 6, 7])
@pytest.mark.parametrize("size", [(300, 200), (40, 500), (196, 264), (196, 265), (96, 64), (20, 10)], ids=str)
def test_a_smoothing_resize_of_rows_in_strips_is_that_of_the_whole(size: tuple[int, int], orientation: int) -> None:
    spec = make_spec(96, 64, interpolation="antialiased")
    data = stored_with_orientation(noise(*size), orientation)
    samples = decode_samples(data, LIMITS, partial(grid_of, spec=spec))
    found, _ = preprocess_samples(samples.pixels, samples.grid, samples.width, samples.height, spec)
    np.testing.assert_array_equal(found, preprocess(decode_image(data, LIMITS).pixels, spec)[0])


def test_a_level_that_is_out_of_range_is_refused_wherever_it_lies() -> None:
    levels = np.zeros((300, 100), np.float32)
    levels[10, 10] = 2
    buffer = BytesIO()
    Image.fromarray(levels).save(buffer, "TIFF")
    with pytest.raises(ImageDecodeError, match=r"expected floats of 0\.\.1"):
        decode_samples(buffer.getvalue(), LIMITS, lambda *_: SourceGrid(np.array([299]), np.array([0])))


def test_a_cut_progressive_jpeg_is_refused_though_its_cut_lies_beside_the_samples() -> None:
    data = encoded(noise(300, 200), "JPEG", progressive=True, quality=90)
    with pytest.raises(ImageDecodeError, match="cut off"):
        decode_samples(data[:-400], ImageLimits(10**6, 10**6, 2000), lambda *_: SourceGrid(np.arange(8), np.arange(8)))

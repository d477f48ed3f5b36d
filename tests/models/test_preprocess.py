"""Placement of images: darknet's resize by an independent formula and its stored inputs, inverses, odd sizes."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from yoloscope.models.errors import ImageError
from yoloscope.models.preprocess import Placement, placement_of, preprocess, preprocess_uint8
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec, ResizeSpec


def make_spec(
    width: int = 416,
    height: int = 416,
    placement: Literal["stretch", "letterbox"] = "stretch",
    interpolation: Literal["corner_aligned", "antialiased"] = "corner_aligned",
) -> DetectorSpec:
    return DetectorSpec(
        name="test",
        family="v4",
        class_names=("a",),
        input_width=width,
        input_height=height,
        anchors_px=((8.0, 8.0),),
        heads=(HeadSpec(kind="yolo", grid_width=1, grid_height=1, anchor_indices=(0,)),),
        resize=ResizeSpec(placement=placement, interpolation=interpolation),
        loss=LossSpec(preset="v4"),
    )


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * 31 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def corner_aligned_float64(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float64]:
    """The same rule, written per axis by linear interpolation between whole positions."""

    def along(values: NDArray[Any], target: int) -> NDArray[np.float64]:
        source = len(values)
        flat = values.reshape(source, -1).astype(np.float64)
        where = np.linspace(0, source - 1, target) if target > 1 else np.array([source - 1.0])
        columns = [np.interp(where, np.arange(source), column) for column in flat.T]
        return np.stack(columns, 1).reshape(target, *values.shape[1:])

    return along(along(image, height).swapaxes(0, 1), width).swapaxes(0, 1)


@pytest.mark.parametrize("size", [(33, 57), (90, 40), (64, 96), (200, 300), (1, 1), (1, 300), (300, 1), (2, 2)])
def test_corner_aligned_resize_is_the_formula_rounded(size: tuple[int, int]) -> None:
    image = noise(*size)
    placed, _ = preprocess_uint8(image, make_spec(96, 64))
    assert placed.dtype == np.uint8
    assert placed.shape == (64, 96, 3)
    # Half a level of rounding, and what float32 positions move a pixel by.
    assert np.abs(placed - corner_aligned_float64(image, 96, 64)).max() <= 0.5 + 0.02


def test_corners_stay_and_the_middle_is_interpolated() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 1], image[1, 0], image[1, 1] = 100, 50, 150
    placed, _ = preprocess_uint8(image, make_spec(3, 3))
    np.testing.assert_array_equal(placed[:, :, 0], [[0, 50, 100], [25, 75, 125], [50, 100, 150]])


@pytest.mark.parametrize("placement", ["stretch", "letterbox"])
@pytest.mark.parametrize("interpolation", ["corner_aligned", "antialiased"])
def test_an_image_of_the_right_size_is_left_alone(placement: Any, interpolation: Any) -> None:
    image = noise(64, 96)
    placed, where = preprocess_uint8(image, make_spec(96, 64, placement, interpolation))
    np.testing.assert_array_equal(placed, image)
    assert not np.shares_memory(placed, image)
    assert where == Placement(96, 64, 0, 0, 96, 64)


def test_views_with_strides_are_taken_as_they_look() -> None:
    image = noise(50, 70)
    flipped, _ = preprocess_uint8(image[:, ::-1], make_spec(96, 64))
    np.testing.assert_array_equal(flipped, preprocess_uint8(np.ascontiguousarray(image[:, ::-1]), make_spec(96, 64))[0])


def test_antialiasing_smooths_and_corner_alignment_does_not() -> None:
    stripes = np.zeros((8, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    smooth, _ = preprocess_uint8(stripes, make_spec(32, 8, interpolation="antialiased"))
    sharp, _ = preprocess_uint8(stripes, make_spec(32, 8))
    assert abs(int(smooth[0, 16, 0]) - 127) <= 2
    assert sharp.std() > 30


@pytest.mark.parametrize("model", ["yolov4-tiny", "yolo-fastest", "tiny-yolov2-trial7"])
def test_stretched_input_equals_darknets(oracles_dir: Path, model: str) -> None:
    stored = np.load(oracles_dir / "darknet_out" / model / "dog_tensors.npz")["input"]
    compare_with_darknet(oracles_dir, stored, "stretch")


@pytest.mark.parametrize("model", ["yolov4-tiny", "yolo-fastest-1.1"])
def test_letterboxed_input_equals_darknets(oracles_dir: Path, model: str) -> None:
    stored = np.load(oracles_dir / "darknet_out" / model / "dog_letterbox_input.npz")["input"]
    compare_with_darknet(oracles_dir, stored, "letterbox")


def compare_with_darknet(oracles_dir: Path, stored: NDArray[np.float32], placement: Any) -> None:
    image = np.array(Image.open(oracles_dir / "images" / "dog.jpg").convert("RGB"))
    placed, _ = preprocess(image, make_spec(stored.shape[2], stored.shape[1], placement))
    difference = np.abs(placed.transpose(2, 0, 1) - 255.0 * stored)
    # Pillow decodes JPEG up to 3 levels away from darknet's decoder, .2 on average.
    assert difference.max() <= 3.001
    assert difference.mean() <= 0.2


def test_rounding_is_half_up_and_at_most_half_a_level() -> None:
    image, spec = noise(70, 50), make_spec(96, 64)
    exact, where = preprocess(image, spec)
    placed, same = preprocess_uint8(image, spec)
    assert same == where
    np.testing.assert_array_equal(placed, np.floor(exact.astype(np.float64) + 0.5).astype(np.uint8))
    assert 0.4 < np.abs(placed - exact).max() <= 0.5


def test_letterbox_margins_are_gray_and_the_smaller_half_comes_first() -> None:
    placed, where = preprocess(np.zeros((3, 10, 3), np.uint8), make_spec(32, 32, "letterbox"))
    assert where == Placement(10, 3, 0, 11, 32, 9)
    assert (placed[:11] == 127.5).all()
    assert (placed[11:20] == 0).all()
    assert (placed[20:] == 127.5).all()


@pytest.mark.parametrize(("size", "rectangle"), [((1, 20000), (0, 207, 416, 1)), ((20000, 1), (207, 0, 1, 416))])
def test_needles_keep_one_pixel(size: tuple[int, int], rectangle: tuple[int, int, int, int]) -> None:
    placed, where = preprocess_uint8(noise(*size), make_spec(placement="letterbox"))
    assert placed.shape == (416, 416, 3)
    assert (where.left, where.top, where.width, where.height) == rectangle
    assert np.isfinite(where.invert(np.array([[0.0, 0.0, 416.0, 416.0]]))).all()


@pytest.mark.parametrize("placement", ["stretch", "letterbox"])
def test_boxes_come_back_within_half_a_pixel(placement: Any) -> None:
    random = np.random.default_rng(5)
    worst = 0.0
    for width, height in random.integers(1, 8000, (10_000, 2)):
        spec = make_spec(int(random.integers(1, 20)) * 32, int(random.integers(1, 20)) * 32, placement)
        where = placement_of(int(width), int(height), spec)
        boxes = random.random((3, 4)) * (width, height, width, height)
        placed = where.apply(boxes)
        assert (placed[:, :2] >= (where.left, where.top)).all()
        assert (placed[:, 2:] <= (where.left + where.width, where.top + where.height)).all()
        # Network boxes arrive in float32.
        worst = max(worst, np.abs(where.invert(placed.astype(np.float32)) - boxes).max())
    assert worst <= 0.5


@pytest.mark.parametrize("placement", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [(60, 100), (100, 60), (37, 64), (150, 41)])
def test_an_edge_in_the_image_is_found_where_the_placement_says(placement: Any, size: tuple[int, int]) -> None:
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 3 :, width // 4 :] = 255
    placed, where = preprocess_uint8(image, make_spec(256, 320, placement))
    inside = placed[where.top : where.top + where.height, where.left : where.left + where.width, 0] > 127
    left = where.left + int(np.argmax(inside[-1]))
    top = where.top + int(np.argmax(inside[:, -1]))
    found = where.invert(np.array([[left, top, left, top]], np.float32))[0, :2]
    # An edge is at most half a pixel of the image (corner alignment) and one of the network away.
    reach = 0.5 + np.array((width / where.width, height / where.height))
    assert (np.abs(found - (width // 4, height // 3)) <= reach).all()


def test_no_boxes() -> None:
    assert placement_of(10, 10, make_spec()).invert(np.zeros((0, 4), np.float32)).shape == (0, 4)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_not_an_image_is_refused(image: NDArray[Any]) -> None:
    with pytest.raises(ImageError, match=r"expected an image of uint8 \[H, W, 3\], got"):
        preprocess_uint8(image, make_spec())

"""Boxes around polygons and masks; compressed masks against pycocotools."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as pycocotools_mask

from yoloscope.training.data.annotations.shapes import count_shapes, enclosing_box, mask_box, polygons_box


def _uncompressed(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Return COCO's runs down the columns, zeros first."""
    flat = pixels.flatten(order="F").tolist()
    counts, value = [0], 0
    for pixel in flat:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(pixels.shape), "counts": counts}


def _compressed(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    encoded = pycocotools_mask.encode(np.asfortranarray(pixels))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def test_a_mask_by_hand() -> None:
    mask = {"size": [4, 5], "counts": [5, 2, 2, 2, 9]}
    assert mask_box(mask, (5, 4)) == (1.0, 1.0, 3.0, 3.0)


def test_a_run_over_several_columns_touches_top_and_bottom() -> None:
    assert mask_box({"size": [4, 5], "counts": [7, 2, 11]}, (5, 4)) == (1.0, 0.0, 3.0, 4.0)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (40, 64), (300, 200)])
@pytest.mark.parametrize("density", [0.002, 0.3, 0.98])
def test_random_masks_have_the_box_of_their_pixels(shape: tuple[int, int], density: float) -> None:
    generator = np.random.default_rng(1)
    pixels = (generator.random(shape) < density).astype(np.uint8)
    pixels[generator.integers(shape[0]), generator.integers(shape[1])] = 1
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    size = (shape[1], shape[0])
    assert mask_box(_uncompressed(pixels), size) == expected
    assert mask_box(_compressed(pixels), size) == expected


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"counts": [20]}, r"a mask of size \[4, 5\] \(height, width\), got None"),
        ({"size": [5, 4], "counts": [20]}, r"a mask of size \[4, 5\] .*, got \[5, 4\]"),
        ({"size": [4, 5], "counts": [5, 2]}, "runs of 20 pixels in all, got 7"),
        ({"size": [4, 5], "counts": [25, -5]}, "runs of 20 pixels in all"),
        ({"size": [4, 5], "counts": [20]}, "at least one pixel, got an empty one"),
        ({"size": [4, 5], "counts": [5, 0, 15]}, "at least one pixel, got an empty one"),
        ({"size": [4, 5], "counts": ["5", 15]}, "counts as a list of integers or a text"),
        ({"size": [4, 5], "counts": None}, "counts as a list of integers or a text"),
        ({"size": [4, 5], "counts": "!"}, "compressed counts, got the character '!'"),
        ({"size": [4, 5], "counts": "é"}, "compressed counts, got the character 'é'"),
        ({"size": [4, 5], "counts": "o"}, "a text that is cut off"),
        ({"size": [4, 5], "counts": "o" * 1000}, "compressed counts, got the character 'o'"),
    ],
)
def test_masks_that_cannot_be_read(mask: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_box(mask, (5, 4))


def test_a_box_around_points() -> None:
    assert enclosing_box([3.0, 9.0, 1.0, 4.0, 2.0, 5.0]) == (1.0, 4.0, 3.0, 9.0)
    assert polygons_box([[3, 9, 1, 4, 2, 5], [0, 6, 7, 6, 7, 7.5]]) == (0.0, 4.0, 7.0, 9.0)


@pytest.mark.parametrize(
    "polygons", [[], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5]], [[1, 2, 3, 4, 5, "6"]], ["x"], [1, 2, 3, 4, 5, 6]]
)
def test_polygons_that_cannot_be_read(polygons: list[object]) -> None:
    with pytest.raises(ValueError, match=r"expected (polygons of three points|a polygon)"):
        polygons_box(polygons)


def test_counts_in_words() -> None:
    assert count_shapes(Counter({"box": 7, "polygon": 1, "mask": 2, "scored box": 3})) == (
        "3 boxes with a score, 1 polygon, 2 masks"
    )
    assert count_shapes(Counter({"box": 7})) == ""

"""Boxes drawn into an image."""

import numpy as np
import pytest

from yoloscope.app.responses.drawing import draw_detections
from yoloscope.models.classes import class_color
from yoloscope.models.detections import Detections
from yoloscope.models.images import DecodedImage


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (640, 480)])
def test_drawing_takes_any_box_and_leaves_the_image(size: tuple[int, int]) -> None:
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    boxes = np.array([[-500, -500, 5000, 5000], [10, 10, 5, 5], [2, 2, 2, 2], [300, -20, 700, 30]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([0, 1, 1, 0]))
    image = draw_detections(DecodedImage(pixels), found, ("a name that is rather long", "ж"))
    assert image.size == size
    assert (pixels == 90).all()
    assert (np.asarray(image) != 90).any()


def test_drawing_nothing_changes_nothing() -> None:
    pixels = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    np.testing.assert_array_equal(np.asarray(draw_detections(DecodedImage(pixels), empty, ("a",))), pixels)


def test_a_box_is_drawn_where_it_is() -> None:
    pixels = np.zeros((200, 200, 3), np.uint8)
    found = Detections(np.array([[50, 60, 150, 160]], np.float32), np.ones(1, np.float32), np.array([3]))
    drawn = np.asarray(draw_detections(DecodedImage(pixels), found, ("a", "b", "c", "d")))
    for y, x in ((60, 100), (160, 100), (110, 50), (110, 150)):
        assert tuple(drawn[y, x]) == class_color(3)
    assert not drawn[110, 100].any()

"""The contact sheet: size, places, boxes and names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.training.data.augment.scenes import flat
from yoloscope.models.classes import class_color
from yoloscope.models.fonts import font_for
from yoloscope.training.visualize.drawing import contact_sheet, draw_sample


def test_the_grid_is_square_unless_told() -> None:
    images = [flat(10, 10, 9)] * 5
    assert contact_sheet(images, (), cell_px=20).size == (3 * 24 + 4, 2 * 24 + 4)
    assert contact_sheet(images, (), columns=5, cell_px=20).size == (5 * 24 + 4, 24 + 4)
    assert contact_sheet([], (), cell_px=20).size == (28, 28)


def test_images_lie_row_by_row_in_the_middle_of_their_cells() -> None:
    sheet = np.asarray(contact_sheet([flat(10, 5, level) for level in (50, 100, 150)], (), 2, 20))
    assert [sheet[4 + 10, 4 + 10, 0], sheet[14, 38, 0], sheet[38, 14, 0]] == [50, 100, 150]
    assert (sheet[4 + 4, 14] == 32).all()  # above the flat image: paper


def test_a_box_is_drawn_in_the_color_of_its_class() -> None:
    image = np.asarray(draw_sample(flat(50, 50, 0, [[10, 20, 40, 45]], [1]), ("a", "b"), 100))
    assert image.shape == (100, 100, 3)
    color = np.array(class_color(1))
    for y, x in ((89, 60), (70, 20), (70, 79)):
        assert (image[y, x] == color).all()
    assert (image[70, 50] == 0).all()


def test_a_weight_below_one_and_an_unknown_class_are_written() -> None:
    sample = flat(60, 60, 0, [[5, 5, 55, 55]], [7])
    half = replace(sample, weights=np.array([0.5], np.float32))
    for labeled, text in ((sample, "7"), (half, "7 x 0.50")):
        drawn = np.asarray(draw_sample(labeled, ("a",), 120)).astype(int)
        inside = drawn[12:24, 12:108]
        written = np.flatnonzero((inside != 0).any(axis=(0, 2)))
        expected = round(font_for(text, 11, "")[1].getlength(text))
        assert abs(int(written.max()) - int(written.min()) - expected) <= 4, text

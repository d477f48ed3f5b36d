"""Sharing anchors out among strides, and the published sets."""

import pytest

from yoloscope.models import anchors
from yoloscope.models.anchors import group_by_stride
from yoloscope.models.errors import ConfigError


def test_small_anchors_go_to_small_strides_whatever_the_order() -> None:
    given = [(100, 90), (10, 12), (50, 40), (30, 20)]
    ordered = ((10, 12), (30, 20), (50, 40), (100, 90))
    assert group_by_stride(given, (32, 8)) == (ordered, ((2, 3), (0, 1)))
    assert group_by_stride(given, (8, 32)).masks == ((0, 1), (2, 3))


def test_equal_areas_keep_their_order() -> None:
    assert group_by_stride([(4, 9), (6, 6), (9, 4)], (8, 16, 32)).anchors_px == ((4, 9), (6, 6), (9, 4))


def test_one_head_takes_any_number() -> None:
    assert group_by_stride([(2, 2), (1, 1), (3, 3)], (32,)).masks == ((0, 1, 2),)


@pytest.mark.parametrize("given", [[], [(1, 1)], [(1, 1), (2, 2), (3, 3)]])
def test_anchors_that_cannot_be_shared_out_are_refused(given: list[tuple[float, float]]) -> None:
    with pytest.raises(ConfigError, match=f"expected as many anchors for each of 2 heads, got {len(given)}"):
        group_by_stride(given, (16, 32))


def test_anchors_without_area_are_refused() -> None:
    with pytest.raises(ConfigError, match="positive width and height"):
        group_by_stride([(1, 1), (0, 5)], (16, 32))


def test_region_anchors_are_given_in_cells_of_32_pixels() -> None:
    assert anchors.YOLOV2_VOC.anchors_px[0] == (1.3221 * 32, 1.73145 * 32)
    assert anchors.YOLOV2_VOC.masks == ((0, 1, 2, 3, 4),)


def test_the_smallest_anchor_of_yolov4_tiny_serves_no_head() -> None:
    in_masks = {index for mask in anchors.YOLOV4_TINY.masks for index in mask}
    assert in_masks == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("published", [anchors.YOLOV3, anchors.YOLOV3_TINY, anchors.YOLOV4])
def test_published_masks_give_large_anchors_to_large_strides(published: anchors.AnchorSet) -> None:
    strides = (8, 16, 32) if published is anchors.YOLOV4 else (32, 16, 8)[: len(published.masks)]
    assert group_by_stride(published.anchors_px, strides) == published

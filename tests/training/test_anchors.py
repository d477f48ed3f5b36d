"""Anchors: shape IoU, masks and losses by hand; the fit against planted clusters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoloscope.models.errors import ConfigError
from yoloscope.training.anchors import (
    assess_anchors,
    assign_masks,
    cluster_shapes,
    fit_anchors,
    refine_anchors,
    shape_iou,
)

PLANTED = np.array([[10, 14], [60, 20], [120, 150], [25, 70], [200, 90], [300, 300]], np.float64)


def _around(centers: np.ndarray, copies: int, spread: float, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    shapes = np.repeat(centers, copies, axis=0)
    return np.asarray(shapes * np.exp(spread * generator.standard_normal(shapes.shape)))


def test_shape_iou_by_hand() -> None:
    shapes, anchors = np.array([[2.0, 2.0], [1.0, 4.0], [0.0, 0.0]]), np.array([[2.0, 2.0], [4.0, 1.0]])
    expected = np.array([[1, 1 / 3], [1 / 3, 1 / 7], [0, 0]])
    np.testing.assert_allclose(shape_iou(shapes, anchors), expected)
    assert shape_iou(np.zeros((0, 2)), anchors).shape == (0, 2)


def test_big_anchors_go_to_big_strides_whatever_the_order() -> None:
    """Areas of PLANTED: 140, 1200, 18000, 1750, 18000, 90000."""
    ordered, masks = assign_masks(PLANTED, (32, 8, 16))
    assert ordered.tolist() == PLANTED[[0, 1, 3, 2, 4, 5]].tolist()
    assert masks == ((4, 5), (0, 1), (2, 3))


@pytest.mark.parametrize("strides", [(8, 16, 32, 64), (), (8, 8)])
def test_masks_that_cannot_be_are_refused(strides: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError):
        assign_masks(PLANTED, strides)


def test_quality_by_hand() -> None:
    """Anchors 10 x 10 and 20 x 20; the shapes have best IoU 1, .8, .25 and (under a pixel) .0025."""
    shapes = np.array([[10, 10], [20, 16], [10, 2.5], [0.5, 0.5]])
    quality = assess_anchors(shapes, np.array([[10.0, 10], [20, 20]]), ((0,), (1,)))
    assert quality.mean_best_iou == pytest.approx((1 + 0.8 + 0.25 + 0.0025) / 4)
    assert quality.best_possible_recall == 0.5
    assert quality.lost == (3,)


def test_an_anchor_without_a_mask_loses_its_objects() -> None:
    """yolov4-tiny.cfg gives masks 3,4,5 and 1,2,3: no head has what fits anchor 0 best."""
    anchors = np.array([[10.0, 14], [23, 27], [37, 58], [81, 82], [135, 169], [344, 319]])
    masks = ((3, 4, 5), (1, 2, 3))
    shapes = np.array([[10.0, 14], [23, 27], [15, 18], [344, 319]])
    assert assess_anchors(shapes, anchors, masks).lost == (0, 2)
    assert assess_anchors(shapes, anchors, masks, multi_iou=0.4).lost == (0,)
    assert assess_anchors(shapes, anchors, ((3, 4, 5), (0, 1, 2))).lost == ()


def test_no_objects_have_no_quality() -> None:
    assert assess_anchors(np.zeros((0, 2)), PLANTED, ((0,),)).lost == ()


def test_clusters_without_spread_are_found_exactly() -> None:
    shapes = _around(PLANTED, 20, 0.0)
    found = cluster_shapes(shapes, 6, np.random.default_rng(1))
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(PLANTED, axis=0), rtol=1e-9)


def test_clusters_with_spread_are_found_nearly() -> None:
    shapes = _around(PLANTED, 200, 0.05)
    fit = fit_anchors(shapes, (8, 16, 32), per_stride=2)
    expected, _ = assign_masks(PLANTED, (8, 16, 32))
    iou = shape_iou(expected, np.array(fit.anchors_px))
    assert iou.max(axis=1).min() > 0.93
    assert fit.quality.best_possible_recall == 1
    assert fit.quality.lost == ()


def test_the_refinement_never_loses_and_gains_on_a_bad_start() -> None:
    shapes = _around(PLANTED, 50, 0.3)
    bad = np.full((6, 2), 50.0) * np.arange(1, 7)[:, None] ** 0.5
    before = shape_iou(shapes, bad).max(axis=1).mean()
    after = shape_iou(shapes, refine_anchors(shapes, bad, np.random.default_rng(0))).max(axis=1).mean()
    assert after > before + 0.05
    same = refine_anchors(shapes, bad, np.random.default_rng(0), generations=0)
    np.testing.assert_array_equal(same, bad)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(6, 60))
def test_a_fit_is_decided_by_its_seed_and_serves_every_anchor(seed: int, count: int) -> None:
    shapes = np.exp(np.random.default_rng(seed).normal(3.5, 0.8, (count, 2)))
    one, other = (fit_anchors(shapes, (16, 32), seed=seed) for _ in range(2))
    assert one == other
    assert sorted(index for mask in one.masks for index in mask) == list(range(6))
    areas = [width * height for width, height in one.anchors_px]
    assert areas == sorted(areas)
    clustered = cluster_shapes(shapes, 6, np.random.default_rng(seed))
    assert one.quality.mean_best_iou >= shape_iou(shapes, clustered).max(axis=1).mean() - 1e-12


def test_shapes_under_a_pixel_are_lost_but_bend_no_anchor() -> None:
    shapes = np.concatenate((_around(PLANTED, 10, 0.1), [[0.0, 5.0], [0.2, 0.2]]))
    fit = fit_anchors(shapes, (8, 16, 32), per_stride=2)
    assert fit.quality.lost == (60, 61)
    assert min(min(anchor) for anchor in fit.anchors_px) > 5


def test_too_few_distinct_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 6 boxes of distinct width and height for as many anchors, got 1"):
        fit_anchors(np.full((50, 2), 20.0), (16, 32))

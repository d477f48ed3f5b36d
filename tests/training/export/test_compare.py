"""The error of detections, of one predictor with one class."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec
from yoloscope.training.export.compare import detection_error

SPEC = DetectorSpec(
    name="one",
    family="v4",
    class_names=("a",),
    input_width=32,
    input_height=32,
    anchors_px=((8.0, 8.0),),
    heads=(HeadSpec(kind="yolo", grid_width=1, grid_height=1, anchor_indices=(0,)),),
    loss=LossSpec(preset="v4"),
)
SURE, NEVER = 50.0, -50.0


def head(objectness: float, width: float = 0.0) -> tuple[NDArray[np.float32]]:
    """x and y in the middle, log width relative to the anchor, log height 0, a certain class."""
    return (np.array([0, 0, width, 0, objectness, SURE], np.float32).reshape(1, 6, 1, 1),)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_the_same_is_0_and_nothing_found_is_1() -> None:
    assert detection_error([head(0)], [head(0)], SPEC) == 0
    assert detection_error([head(0)], [head(NEVER)], SPEC) == pytest.approx(1)


def test_half_the_score_is_half_an_error() -> None:
    assert detection_error([head(0)], [head(logit(0.25))], SPEC) == pytest.approx(0.5, abs=1e-6)


def test_a_box_that_overlaps_by_half_is_half_an_error() -> None:
    """Twice as wide about the same center: IoU 1/2."""
    assert detection_error([head(0)], [head(0, math.log(2))], SPEC) == pytest.approx(0.5, abs=1e-6)


def test_errors_add_up_over_images_as_a_share_of_all_scores() -> None:
    """(.5 lost + .25 of 1) / (.5 + .75)."""
    expected, got = [head(0), head(logit(0.75))], [head(NEVER), head(logit(0.5))]
    assert detection_error(expected, got, SPEC) == pytest.approx((0.5 + 0.25) / 1.25, abs=1e-6)


def test_what_neither_finds_does_not_count() -> None:
    assert detection_error([head(logit(0.005))], [head(logit(0.009))], SPEC) == 0
    assert detection_error([head(NEVER)], [head(0)], SPEC) > 1e6

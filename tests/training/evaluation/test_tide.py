"""Fixtures derived by hand from the definitions of the paper (section 2.2)."""

import numpy as np
import pytest

from tests.training.evaluation.scenes import Box, image, random_images
from yoloscope.training.evaluation.coco import evaluate_coco
from yoloscope.training.evaluation.tide import KINDS, TideResult, evaluate_tide

A: Box = (0, 0, 10, 10)
B: Box = (100, 0, 110, 10)
FAR: Box = (200, 0, 210, 10)
A_BADLY: Box = (0, 0, 10, 4)
"""IoU .4 with A."""


def gains_of(result: TideResult) -> dict[str, float]:
    return {kind: gain for kind, gain in result.gains.items() if gain}


def counts_of(result: TideResult) -> dict[str, int]:
    return {kind: count for kind, count in result.counts.items() if count}


@pytest.mark.parametrize(
    ("kind", "row", "gain"),
    [
        ("localisation", (0, 0.9, A_BADLY), 1.0),
        ("classification", (1, 0.9, A), 1.0),
    ],
)
def test_an_object_hit_badly_or_under_another_class_is_repaired(
    kind: str, row: tuple[int, float, Box], gain: float
) -> None:
    result = evaluate_tide([image([(0, A)], [row])], 2)
    assert result.ap50 == 0.0
    assert counts_of(result) == {kind: 1}
    assert gains_of(result) == pytest.approx({kind: gain})


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("background", (0, 0.9, FAR)),
        ("both", (0, 0.9, (100, 0, 110, 4))),
        ("duplicate", (0, 0.9, (0, 0, 10, 9))),
    ],
)
def test_what_stands_before_the_right_detection_is_removed(kind: str, row: tuple[int, float, Box]) -> None:
    """One class has two objects, found at .95 and .5 with one error between: precision 1 up to recall .5, then 2/3."""
    objects = [(0, A), (0, (300, 0, 310, 10)), (1, B)]
    rows = [(0, 0.95, A), row, (0, 0.5, (300, 0, 310, 10)), (1, 0.9, B)]
    result = evaluate_tide([image(objects, rows)], 2)
    ap = (51 + 50 * 2 / 3) / 101
    assert result.ap50 == pytest.approx((ap + 1) / 2)
    assert counts_of(result) == {kind: 1}
    assert gains_of(result) == pytest.approx({kind: (1 - ap) / 2})


def test_a_missed_object_is_not_asked_for() -> None:
    result = evaluate_tide([image([(0, A), (0, B)], [(0, 0.9, A)])], 1)
    assert result.ap50 == pytest.approx(51 / 101)
    assert counts_of(result) == {"missed": 1}
    assert gains_of(result) == pytest.approx({"missed": 50 / 101})


def test_only_the_best_of_several_errors_on_one_object_is_made_right() -> None:
    """Repaired: one right detection at .9 instead of two wrong ones."""
    result = evaluate_tide([image([(0, A)], [(1, 0.9, A), (2, 0.8, A)])], 3)
    assert result.counts["classification"] == 2
    assert result.gains["classification"] == pytest.approx(1.0)
    assert result.counts["missed"] == 0


def test_an_error_on_an_object_that_is_taken_is_removed() -> None:
    """The detection of class 1 stands before nothing of its own class, so removing it changes nothing."""
    result = evaluate_tide([image([(0, A), (1, B)], [(1, 0.95, A), (0, 0.9, A), (1, 0.5, B)])], 2)
    assert counts_of(result) == {"classification": 1}
    assert result.gains["classification"] == pytest.approx((1 - 1 / 2) / 2)


def test_localisation_comes_before_classification() -> None:
    result = evaluate_tide([image([(0, A), (1, A_BADLY)], [(0, 0.9, (0, 0, 10, 4.5))])], 2)
    assert counts_of(result) == {"localisation": 1, "missed": 1}


def test_crowds_take_no_part() -> None:
    result = evaluate_tide([image([(0, A), (0, B)], [(0, 0.9, A), (0, 0.8, A), (0, 0.7, B)], crowd=[0])], 1)
    assert result.ap50 == 1.0
    assert counts_of(result) == {}


def test_without_objects_there_is_no_ap_but_errors_are_counted() -> None:
    result = evaluate_tide([image([], [(0, 0.9, A)])], 1)
    assert np.isnan(result.ap50)
    assert counts_of(result) == {"background": 1}


@pytest.mark.parametrize("seed", range(3))
def test_its_ap_is_cocos_and_every_detection_is_right_or_of_one_kind(seed: int) -> None:
    images = random_images(np.random.default_rng(seed), 40, 4)
    result = evaluate_tide(images, 4)
    assert result.ap50 == pytest.approx(evaluate_coco(images, 4).numbers["AP50"], abs=1e-9)
    assert set(result.gains) == set(KINDS)
    assert all(gain > -1e-12 for gain in result.gains.values())

import numpy as np
import pytest

from tests.training.evaluation.scenes import Box, image, random_images
from yoloscope.training.evaluation.coco import bootstrap, evaluate_coco

BOX: Box = (0, 0, 40, 40)


def test_images_that_are_all_alike_leave_nothing_to_chance() -> None:
    images = [image([(0, BOX)], [(0, 0.9, BOX)], image_id=number) for number in (1, 2, 3)]
    for interval in bootstrap(images, 1, resamples=20).values():
        assert (interval.low, interval.high, interval.deviation) == pytest.approx((1.0, 1.0, 0.0))
        assert interval.resamples == 20


def test_found_and_missed_images_spread_as_the_binomial_distribution() -> None:
    found = [image([(0, BOX)], [(0, 0.9, BOX)], image_id=number) for number in range(1, 21)]
    missed = [image([(0, BOX)], [], image_id=number) for number in range(21, 41)]
    interval = bootstrap([*found, *missed], 1, resamples=400)["AP50"]
    # Half of 40 images: the share drawn has standard deviation sqrt(.25 / 40) = .079, and AP is that share.
    assert interval.deviation == pytest.approx(0.079, abs=0.012)
    assert interval.low == pytest.approx(0.5 - 1.96 * 0.079, abs=0.04)
    assert interval.high == pytest.approx(0.5 + 1.96 * 0.079, abs=0.04)


def test_the_interval_holds_the_number_and_follows_from_the_seed() -> None:
    images = random_images(np.random.default_rng(3), 30, 4)
    ap = evaluate_coco(images, 4).numbers["AP"]
    interval = bootstrap(images, 4, resamples=50, seed=1)["AP"]
    assert interval.low < ap < interval.high
    assert bootstrap(images, 4, resamples=50, seed=1)["AP"] == interval
    assert bootstrap(images, 4, resamples=50, seed=2)["AP"] != interval


def test_draws_without_an_object_have_no_ap_and_are_left_out() -> None:
    found = image([(0, BOX)], [(0, 0.9, BOX)], image_id=1)
    empty = [image([], [], image_id=number) for number in (2, 3)]
    interval = bootstrap([found, *empty], 1, resamples=60)["AP"]
    assert (interval.low, interval.high) == pytest.approx((1.0, 1.0))
    # A draw of three misses the one with an object with probability (2/3)^3 = .30.
    assert 30 <= interval.resamples <= 52
    assert bootstrap(empty, 1, resamples=10) == {}

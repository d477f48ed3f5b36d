"""The whole chain: what is fetched, the identity, the switches, and its randomness."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from tests.training.data.augment.scenes import flat, random_sample, same
from yoloscope.models.errors import ConfigError
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec, ResizeSpec
from yoloscope.training.data.augment.color_jitter import ColorJitter
from yoloscope.training.data.augment.geometric import CropJitter, Flip, RandomScale, flip_horizontally
from yoloscope.training.data.augment.geometry import place_sample
from yoloscope.training.data.augment.mixing import MixUp
from yoloscope.training.data.augment.pipeline import Pipeline, sample_generator
from yoloscope.training.data.sample import Sample

COUNT = 20
SPEC = DetectorSpec(
    name="test",
    family="v4",
    class_names=tuple("abcde"),
    input_width=64,
    input_height=32,
    anchors_px=((8, 8),),
    heads=(HeadSpec(kind="yolo", grid_width=2, grid_height=1, anchor_indices=(0,)),),
    resize=ResizeSpec(interpolation="antialiased"),
    loss=LossSpec(preset="v4"),
)
EVERYTHING = Pipeline(CropJitter(), RandomScale(), Flip(0.5, 0.5), ColorJitter(), 0.5, 0.5, mixup_probability=0.5)


class _Images:
    """A data set that remembers what was asked of it."""

    def __init__(self) -> None:
        self.fetched: list[int] = []

    def __call__(self, index: int) -> Sample:
        self.fetched.append(index)
        return random_sample(index, 40 + index, 50 - index, 4)


def _run(pipeline: Pipeline, index: int = 3, seed: int = 0) -> tuple[Sample, list[int]]:
    images = _Images()
    return pipeline(images, index, COUNT, SPEC, sample_generator(seed, 0, index)), images.fetched


def test_nothing_switched_on_only_places() -> None:
    got, fetched = _run(Pipeline())
    assert fetched == [3]
    assert same(got, place_sample(random_sample(3, 43, 47, 4), SPEC))


def test_one_switch_does_one_thing() -> None:
    got, fetched = _run(Pipeline(flip=Flip(1, 0)))
    assert fetched == [3]
    assert same(got, place_sample(flip_horizontally(random_sample(3, 43, 47, 4)), SPEC))


@pytest.mark.parametrize(
    ("switch", "images"),
    [("mosaic_probability", 4), ("cutmix_probability", 2), ("mixup_probability", 2)],
)
def test_partners_are_fetched_as_needed(switch: str, images: int) -> None:
    pipeline = replace(Pipeline(mixup=MixUp(1.0)), **{switch: 1.0})  # type: ignore[arg-type]
    got, fetched = _run(pipeline)
    assert len(fetched) == images
    assert fetched[0] == 3
    assert got.image.shape == (32, 64, 3)
    assert not same(got, _run(Pipeline())[0])
    assert bool((got.weights < 1).any()) == (switch == "mixup_probability")


def test_every_image_of_a_mosaic_takes_every_corner() -> None:
    corners = set()
    for seed in range(60):
        image = Pipeline(mosaic_probability=1)(
            lambda i: flat(9, 9, 255 if i == 0 else 0), 0, 10**6, SPEC, np.random.default_rng(seed)
        ).image
        corners.add(tuple(bool(image[y, x, 0]) for y in (0, -1) for x in (0, -1)))
    assert len(corners) == 4


def test_without_partners_images_are_left_by_themselves() -> None:
    got, fetched = _run(EVERYTHING.without_mixing())
    assert fetched == [3]
    assert (got.weights == 1).all()
    assert EVERYTHING.without_mixing().color_jitter == EVERYTHING.color_jitter


def test_everything_at_once_keeps_boxes_inside_and_follows_its_seed() -> None:
    for index in range(12):
        got, fetched = _run(EVERYTHING, index)
        assert got.image.shape == (32, 64, 3)
        assert (got.boxes_xyxy_px >= 0).all()
        assert (got.boxes_xyxy_px <= (64, 32, 64, 32)).all()
        again, fetched_again = _run(EVERYTHING, index)
        assert same(got, again)
        assert fetched == fetched_again
    assert not same(_run(EVERYTHING, 1, seed=1)[0], _run(EVERYTHING, 1)[0])


def test_letterboxed_networks_get_mosaics_without_distortion() -> None:
    """A square of 2 px in images of 40 px, covered at 64 / 40, is one of 3.2 px where it is not cut."""
    spec = SPEC.model_copy(update={"resize": ResizeSpec(placement="letterbox"), "input_height": 64})
    image = flat(40, 40, 0, [[18, 18, 20, 20]], [0])
    got = Pipeline(mosaic_probability=1)(lambda _: image, 0, 1, spec, np.random.default_rng(2))
    sides = got.boxes_xyxy_px[:, 2:] - got.boxes_xyxy_px[:, :2]
    assert len(got)
    np.testing.assert_allclose(sides.max(axis=0), [3.2, 3.2], rtol=1e-5)


@pytest.mark.parametrize("interpolation", ["antialiased", "corner_aligned"])
@pytest.mark.parametrize(
    "pipeline", [Pipeline(), Pipeline(flip=Flip(1, 1)), Pipeline(random_scale=RandomScale(1, 2)), EVERYTHING]
)
def test_a_finished_image_shares_no_memory_with_the_images_it_is_made_of(
    pipeline: Pipeline, interpolation: Literal["antialiased", "corner_aligned"]
) -> None:
    spec = SPEC.model_copy(update={"resize": ResizeSpec(interpolation=interpolation)})
    for size in ((64, 32), (40, 50)):
        image = random_sample(1, *size, 3)
        before = image.image.copy()
        got = pipeline([image].__getitem__, 0, 1, spec, np.random.default_rng(0)).image
        assert not np.shares_memory(got, image.image)
        assert np.array_equal(image.image, before)


def test_an_impossible_probability_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"mosaic_probability in 0..1, got 2"):
        Pipeline(mosaic_probability=2)

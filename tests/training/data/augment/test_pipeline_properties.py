"""What holds for every augmentation: boxes stay inside, arguments are left alone, a seed decides everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.augment.scenes import same, samples
from yoloscope.training.data.augment.color_jitter import ColorJitter
from yoloscope.training.data.augment.geometric import CropJitter, Flip, RandomScale
from yoloscope.training.data.augment.geometry import Visibility, box_areas, clip_boxes
from yoloscope.training.data.augment.mixing import CutMix, MixUp
from yoloscope.training.data.augment.mosaic import Mosaic
from yoloscope.training.data.sample import Sample

Augmentation = Callable[[Sequence[Sample], np.random.Generator], Sample]
LOOSE = Visibility(0, 0)

AUGMENTATIONS: dict[str, Augmentation] = {
    "flip": lambda four, generator: Flip(0.5, 0.5)(four[0], generator),
    "crop_jitter": lambda four, generator: CropJitter(0.4, LOOSE)(four[0], generator),
    "random_scale": lambda four, generator: RandomScale(0.5, 2.0, LOOSE)(four[0], generator),
    "color_jitter": lambda four, generator: ColorJitter()(four[0], generator),
    "mosaic": Mosaic(40, 24, visibility=LOOSE),
    "mosaic_cover": Mosaic(24, 40, placement="cover", visibility=LOOSE),
    "mosaic_corner_aligned": Mosaic(40, 24, 0.2, 0.8, "cover", "corner_aligned", LOOSE),
    "cutmix": lambda four, generator: CutMix(1.0, LOOSE)(four[0], four[1], generator),
    "mixup": lambda four, generator: MixUp()(four[0], four[1], generator),
}
fours = st.lists(samples(), min_size=4, max_size=4)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@settings(max_examples=25, deadline=None)
@given(four=fours, seed=st.integers(0, 10**6))
def test_boxes_stay_inside_with_area_and_the_seed_decides(name: str, four: list[Sample], seed: int) -> None:
    copies = [Sample(*(part.copy() for part in vars(sample).values())) for sample in four]
    got = AUGMENTATIONS[name](four, np.random.default_rng(seed))
    boxes = got.boxes_xyxy_px
    assert np.array_equal(clip_boxes(boxes, (0, 0, got.width, got.height)), boxes)
    assert (box_areas(boxes) > 0).all()
    assert ((got.weights > 0) & (got.weights <= 1)).all()
    assert same(got, AUGMENTATIONS[name](copies, np.random.default_rng(seed)))
    assert all(same(sample, copy) for sample, copy in zip(four, copies, strict=True))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_image_without_objects_gives_one_without(name: str) -> None:
    empty = Sample.of(np.zeros((20, 30, 3), np.uint8))
    got = AUGMENTATIONS[name]([empty] * 4, np.random.default_rng(0))
    assert got.boxes_xyxy_px.shape == (0, 4)
    assert len(got) == 0


@settings(max_examples=40, deadline=None)
@given(sample=samples(), seed=st.integers(0, 10**6), share=st.floats(0.05, 1))
def test_cut_boxes_keep_their_share(sample: Sample, seed: int, share: float) -> None:
    """The total area left by a crop is no more than before, and each class keeps at least the share asked for."""
    strict = CropJitter(0.4, Visibility(share, 0))(sample, np.random.default_rng(seed))
    loose = CropJitter(0.4, LOOSE)(sample, np.random.default_rng(seed))
    assert len(strict) <= len(loose) <= len(sample)
    assert box_areas(strict.boxes_xyxy_px).sum() <= box_areas(sample.boxes_xyxy_px).sum()
    before = np.sort(box_areas(sample.boxes_xyxy_px))[: len(strict)]
    assert box_areas(strict.boxes_xyxy_px).sum() >= share * before.sum() * (1 - 1e-9)


@pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS) - {"flip", "crop_jitter", "random_scale"}))
def test_what_draws_pixels_shares_no_memory_with_its_arguments(name: str) -> None:
    generator = np.random.default_rng(0)
    four = [Sample.of(generator.integers(0, 256, (24, 40, 3)).astype(np.uint8), [[1, 1, 9, 9]], [0]) for _ in range(4)]
    for seed in range(8):
        got = AUGMENTATIONS[name](four, np.random.default_rng(seed))
        changed = not any(same(got, sample) for sample in four)
        assert not changed or not any(np.shares_memory(got.image, sample.image) for sample in four)

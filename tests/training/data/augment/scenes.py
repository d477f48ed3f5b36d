"""Small labeled images for the tests of augmentations."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from yoloscope.training.data.sample import Sample


def random_sample(seed: int, width: int, height: int, objects: int) -> Sample:
    """An image of noise with boxes inside it of at least 1/8 px, on a grid of 1/64 px, which float32 moves exactly."""
    generator = np.random.default_rng(seed)
    corners = generator.integers(0, (64 * width + 1, 64 * height + 1), (objects, 2, 2)) / 64
    low, high = corners.min(axis=1), corners.max(axis=1)
    low = np.minimum(low, np.array((width, height)) - 1 / 8)
    high = np.maximum(high, low + 1 / 8)
    image = generator.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Sample.of(image, np.concatenate((low, high), axis=1), generator.integers(0, 5, objects))


def flat(width: int, height: int, level: int, boxes: ArrayLike = (), class_ids: ArrayLike = ()) -> Sample:
    """An image of one gray level."""
    return Sample.of(np.full((height, width, 3), level, np.uint8), boxes, class_ids)


def samples(max_objects: int = 6) -> st.SearchStrategy[Sample]:
    """Noise images of 8..48 pixels a side."""
    side = st.integers(8, 48)
    return st.builds(random_sample, st.integers(0, 10**6), side, side, st.integers(0, max_objects))


def same(a: Sample, b: Sample) -> bool:
    """Whether two samples agree bit for bit."""
    return (
        np.array_equal(a.image, b.image)
        and np.array_equal(a.boxes_xyxy_px, b.boxes_xyxy_px)
        and np.array_equal(a.class_ids, b.class_ids)
        and np.array_equal(a.weights, b.weights)
    )

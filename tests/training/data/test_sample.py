"""Samples check their shapes and types."""

from __future__ import annotations

import numpy as np
import pytest

from yoloscope.models.errors import LabelError
from yoloscope.training.data.sample import Sample, with_objects_of

IMAGE = np.zeros((4, 6, 3), np.uint8)


def test_a_sample_of_lists() -> None:
    sample = Sample.of(IMAGE, [[0, 1, 2, 3]], [5])
    assert (sample.width, sample.height, len(sample)) == (6, 4, 1)
    assert sample.weights.tolist() == [1]
    assert Sample.of(IMAGE).boxes_xyxy_px.shape == (0, 4)


def test_objects_of_several_samples_keep_their_order() -> None:
    got = with_objects_of(IMAGE, [Sample.of(IMAGE, [[0, 0, 1, 1]], [2]), Sample.of(IMAGE, [[1, 1, 2, 2]], [1])])
    assert got.class_ids.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("image", "boxes", "class_ids"),
    [(IMAGE[..., 0], [], []), (IMAGE, [[0, 0, 1, 1]], []), (IMAGE[..., :2], [], []), (IMAGE[None], [], [])],
)
def test_wrong_shapes_are_refused(image: np.ndarray, boxes: list[list[int]], class_ids: list[int]) -> None:
    with pytest.raises(LabelError, match="expected a sample of shapes"):
        Sample.of(image, boxes, class_ids)


def test_wrong_types_are_refused() -> None:
    with pytest.raises(LabelError, match="got float64"):
        Sample.of(np.zeros((4, 6, 3)))  # type: ignore[arg-type]

"""Samples on the network's input, by hand."""

from __future__ import annotations

import pytest

from tests.training.data.augment.scenes import flat, random_sample
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec, ResizeSpec
from yoloscope.training.data.augment.geometry import place_sample


def _spec(placement: str, width: int = 64, height: int = 64) -> DetectorSpec:
    return DetectorSpec(
        name="test",
        family="v4",
        class_names=("a", "b"),
        input_width=width,
        input_height=height,
        anchors_px=((8, 8),),
        heads=(HeadSpec(kind="yolo", grid_width=2, grid_height=2, anchor_indices=(0,)),),
        resize=ResizeSpec.model_validate({"placement": placement, "pad_value": 100}),
        loss=LossSpec(preset="v4"),
    )


@pytest.mark.parametrize(("placement", "box"), [("stretch", [8, 16, 16, 32]), ("letterbox", [8, 24, 16, 32])])
def test_boxes_by_hand(placement: str, box: list[float]) -> None:
    """128 x 64 stretched to 64 x 64 is scaled by (1/2, 1); letterboxed by 1/2 under 16 rows of padding."""
    got = place_sample(flat(128, 64, 7, [[16, 16, 32, 32]], [1]), _spec(placement))
    assert got.image.shape == (64, 64, 3)
    assert got.boxes_xyxy_px.tolist() == [box]
    assert (got.image[0] == (7 if placement == "stretch" else 100)).all()
    assert (got.image[32] == 7).all()


def test_a_box_beyond_the_image_is_cut_to_it() -> None:
    got = place_sample(flat(64, 64, 0, [[-8, 0, 16, 16], [60, 60, 200, 200]], [0, 1]), _spec("stretch"))
    assert got.boxes_xyxy_px.tolist() == [[0, 0, 16, 16]]


def test_a_sample_of_the_networks_size_is_left_as_it_is() -> None:
    sample = random_sample(1, 64, 64, 5)
    got = place_sample(sample, _spec("letterbox"))
    assert (got.image == sample.image).all()
    assert (got.boxes_xyxy_px == sample.boxes_xyxy_px).all()

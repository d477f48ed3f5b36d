import numpy as np
import pytest
import torch

from tests.training.data.annotations.labels import image_labels
from yoloscope.models.errors import LabelError
from yoloscope.models.preprocess import Placement, placement_of
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec, ResizeSpec
from yoloscope.training.data.annotations import ImageLabels, LabelObject
from yoloscope.training.data.annotations.ground_truth import network_boxes, to_ground_truth
from yoloscope.training.data.annotations.shapes import BoxXyxy

BOX: BoxXyxy = (20.0, 10.0, 60.0, 50.0)


def _spec(resize: ResizeSpec) -> DetectorSpec:
    return DetectorSpec(
        name="t",
        family="v3",
        class_names=("cat", "dog", "traffic light"),
        input_width=64,
        input_height=64,
        anchors_px=((8, 8),),
        heads=(HeadSpec(kind="yolo", grid_width=2, grid_height=2, anchor_indices=(0,)),),
        resize=resize,
        loss=LossSpec(preset="v3"),
    )


def _place(spec: DetectorSpec) -> Placement:
    return placement_of(200, 100, spec)


def test_stretching_keeps_fractions_of_the_image() -> None:
    spec = _spec(ResizeSpec())
    truth = to_ground_truth([image_labels(BOX)], [_place(spec)], spec)
    torch.testing.assert_close(truth.boxes_cxcywh_norm, torch.tensor([[0.2, 0.3, 0.2, 0.4]]))


def test_letterboxing_halves_heights_and_centers_them() -> None:
    spec = _spec(ResizeSpec(placement="letterbox"))
    truth = to_ground_truth([image_labels(BOX)], [_place(spec)], spec)
    torch.testing.assert_close(truth.boxes_cxcywh_norm, torch.tensor([[0.2, 0.4, 0.2, 0.2]]))


@pytest.mark.parametrize("placement", ["stretch", "letterbox"])
def test_a_whole_image_comes_back_from_the_network_s_frame(placement: str) -> None:
    spec = _spec(ResizeSpec.model_validate({"placement": placement}))
    labels = image_labels((0.0, 0.0, 200.0, 100.0), BOX)
    boxes = network_boxes(labels, _place(spec), spec) * 64
    np.testing.assert_allclose(_place(spec).invert(boxes), labels.boxes_xyxy_px, atol=1e-9)


def test_a_batch_is_flat_in_file_order_and_without_crowds() -> None:
    spec = _spec(ResizeSpec())
    crowd = ImageLabels((LabelObject(1, "dog", BOX, "/0", crowd=True), *image_labels(BOX).objects), 200, 100, "coco")
    truth = to_ground_truth([image_labels(BOX, BOX), image_labels(), crowd], [_place(spec)] * 3, spec)
    assert truth.image_index.tolist() == [0, 0, 2]
    assert truth.class_ids.tolist() == [0, 0, 0]
    assert truth.batch_size == 3


def test_nothing_gives_nothing() -> None:
    spec = _spec(ResizeSpec())
    assert len(to_ground_truth([], [], spec)) == 0
    assert len(to_ground_truth([image_labels()], [_place(spec)], spec)) == 0


def test_faulty_labels_are_refused() -> None:
    spec = _spec(ResizeSpec())
    with pytest.raises(LabelError, match="positive width"):
        to_ground_truth([image_labels((5.0, 5.0, 5.0, 9.0))], [_place(spec)], spec)

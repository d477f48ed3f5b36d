"""DetectorSpec: round trip, refusal of what cannot be served, and the shapes it derives."""

import pytest
from pydantic import ValidationError

from yoloscope.models.errors import SpecError
from yoloscope.models.spec import ClassTree, DetectorSpec, HeadSpec, LossSpec, NmsSpec


def _spec(**changes: object) -> DetectorSpec:
    fields: dict[str, object] = {
        "name": "tiny",
        "family": "v3",
        "class_names": ("cat", "dog"),
        "input_width": 64,
        "input_height": 32,
        "anchors_px": ((10.0, 14.0), (23.0, 27.0), (37.0, 58.0)),
        "heads": (HeadSpec(kind="yolo", grid_width=2, grid_height=1, anchor_indices=(1, 2)),),
        "loss": LossSpec(preset="v3"),
    }
    return DetectorSpec.model_validate(fields | changes)


def test_json_round_trip_is_identity() -> None:
    spec = _spec(nms=NmsSpec(beta=None))
    assert DetectorSpec.from_json(spec.to_json()) == spec


def test_plain_iou_survives_the_round_trip() -> None:
    assert DetectorSpec.from_json(_spec(nms=NmsSpec(beta=None)).to_json()).nms.beta is None


def test_shapes_strides_and_anchors_of_a_head() -> None:
    spec = _spec()
    assert spec.head_shape(0, 3) == (3, 2 * (5 + 2), 1, 2)
    assert spec.head_stride(0) == (32.0, 32.0)
    assert spec.head_anchors_px(0) == ((23.0, 27.0), (37.0, 58.0))


def test_detection_head_is_flat() -> None:
    head = HeadSpec(kind="detection", grid_width=7, grid_height=7, boxes_per_cell=2, class_activation="none")
    spec = _spec(family="v1", heads=(head,), anchors_px=(), class_names=tuple(f"c{i}" for i in range(20)))
    assert spec.head_shape(0, 1) == (1, 1470)


def test_gaussian_head_has_nine_entries_per_anchor() -> None:
    head = HeadSpec(kind="gaussian_yolo", grid_width=2, grid_height=1, anchor_indices=(0,))
    assert _spec(heads=(head,)).head_shape(0, 1) == (1, 11, 1, 2)


def test_tree_classes_count_as_head_entries() -> None:
    tree = ClassTree(parents=(-1, -1, 0, 0), group_sizes=(2, 2), reported=(2, 3))
    assert _spec(class_tree=tree).num_classes == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": ()}, "heads"),
        ({"class_names": ()}, "class_names"),
        ({"anchors_px": ()}, "anchor indices"),
        ({"heads": (HeadSpec(kind="yolo", grid_width=1, grid_height=1),)}, "needs anchors"),
        ({"heads": (HeadSpec(kind="detection", grid_width=1, grid_height=1),)}, "boxes_per_cell"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        _spec(**changes)


def test_bad_json_raises_spec_error_naming_the_field() -> None:
    with pytest.raises(SpecError, match="input_width"):
        DetectorSpec.from_json(_spec().to_json().replace('"input_width":64', '"input_width":-1'))

import json

import pytest

from tests.training.data.annotations.labels import CONTEXT, NAMES, VOC
from yoloscope.models.errors import LabelError
from yoloscope.training.data.annotations import ImageLabels, LabelLimits, parse_labels, scan_labels, valid_labels

NATIVE = json.dumps({"objects": [{"class_name": "dog", "box": {"x1": 20, "y1": 10, "x2": 60, "y2": 30}}]})
COCO = json.dumps(
    {
        "images": [{"id": 1}],
        "categories": [{"id": 5, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 5, "bbox": [20, 10, 40, 20]}],
    }
)


def _parse(text: str) -> ImageLabels:
    return parse_labels(text.encode(), class_names=NAMES, image_width=200, image_height=100)


@pytest.mark.parametrize(
    ("text", "label_format"),
    [
        ("1 .2 .2 .2 .2", "yolo"),
        ("", "yolo"),
        (VOC, "voc"),
        (f"\ufeff\n<!-- x -->{VOC}", "voc"),
        (NATIVE, "native"),
        (f" \n{COCO}", "coco"),
    ],
)
def test_the_format_is_told_by_the_content(text: str, label_format: str) -> None:
    assert _parse(text).label_format == label_format


def test_the_formats_agree_on_one_object() -> None:
    boxes = [_parse(text).objects[0].box_xyxy_px for text in ("1 .2 .2 .2 .2", NATIVE, COCO)]
    assert boxes[0] == pytest.approx(boxes[1], abs=1e-12)
    assert boxes[1] == boxes[2] == (20.0, 10.0, 60.0, 30.0)


@pytest.mark.parametrize("text", ["hello", '{"boxes": []}', "[1]", "x1,y1,x2,y2"])
def test_an_unknown_format_names_what_was_tried(text: str) -> None:
    with pytest.raises(LabelError, match=r"native JSON.*COCO JSON.*VOC XML.*YOLO text"):
        _parse(text)


@pytest.mark.parametrize(
    "text", ['{"objects": [NaN]}', '{"objects": [], "objects": []}', "[" * 100_000, '{"a": ' + "1" * 5000 + "}", "{"]
)
def test_json_is_read_strictly(text: str) -> None:
    with pytest.raises(LabelError, match="expected"):
        _parse(text)


def test_a_format_that_is_told_is_obeyed() -> None:
    with pytest.raises(LabelError, match="columns"):
        parse_labels(NATIVE.encode(), label_format="yolo", class_names=NAMES, image_width=200, image_height=100)


def test_all_unreadable_entries_are_named() -> None:
    with pytest.raises(LabelError, match="2 labels are wrong") as caught:
        _parse("1 .2 .2 .2 .2\n1 2\n\n1 a .2 .2 .2")
    assert [problem.pointer for problem in caught.value.problems] == ["/lines/1", "/lines/3"]


def test_unreadable_and_wrong_entries_are_named_together() -> None:
    with pytest.raises(LabelError) as caught:
        valid_labels(b"7 .2 .2 .2 .2\n1 2\n1 .2 .2 0 .2" + b"\n" * 8 + b"x", CONTEXT)
    assert [problem.pointer for problem in caught.value.problems] == [f"/lines/{i}" for i in (0, 1, 2, 10)]


@pytest.mark.parametrize(
    ("limits", "expected"), [(LabelLimits(max_bytes=20), "bytes"), (LabelLimits(max_objects=1), "objects")]
)
def test_limits(limits: LabelLimits, expected: str) -> None:
    data = b"1 .2 .2 .2 .2\n1 .2 .2 .2 .2"
    assert len(scan_labels(data, CONTEXT, limits=LabelLimits(len(data), 2)).labels) == 2
    with pytest.raises(LabelError, match=f"at most .* {expected}"):
        scan_labels(data, CONTEXT, limits=limits)


def test_boxes_and_classes_as_arrays() -> None:
    labels = _parse(VOC)
    assert labels.boxes_xyxy_px.tolist() == [[20.0, 10.0, 60.5, 30.0], [1.0, 1.0, 200.0, 100.0]]
    assert labels.class_ids.tolist() == [1, 0]
    assert _parse("").boxes_xyxy_px.shape == (0, 4)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("text", "label_format"), [("1\t.2 .2 .2 .2 \r\n", "yolo"), (VOC, "voc"), (NATIVE, "native"), (COCO, "coco")]
)
def test_text_with_a_byte_order_mark(text: str, label_format: str, encoding: str) -> None:
    labels = parse_labels(text.encode(encoding), class_names=NAMES, image_width=200, image_height=100)
    assert labels.label_format == label_format
    assert labels.objects[0].class_name == "dog"


def test_the_answer_of_detect_can_be_scored() -> None:
    (label,) = _parse("1 0.200000 0.200000 0.200000 0.200000 0.987654\n").objects
    assert (label.class_name, label.shape) == ("dog", "scored box")
    assert label.box_xyxy_px == pytest.approx((20, 10, 60, 30))

import math

import pytest

from tests.training.data.annotations.labels import image_labels
from yoloscope.models.errors import LabelError
from yoloscope.training.data.annotations import ImageLabels, check_labels, find_faults, find_unusable, lint, usable_rows
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.data.annotations.structures import LabelFormat

GOOD: BoxXyxy = (20.0, 10.0, 60.0, 50.0)


def _kinds(labels: ImageLabels, scale: tuple[float, float] | None = None) -> list[tuple[int, str]]:
    return [(finding.index, finding.kind) for finding in lint(labels, network_scale=scale)]


def test_good_labels_have_no_findings() -> None:
    labels = image_labels(GOOD, (0.0, 0.0, 100.0, 100.0), (-1.0, -1.0, 201.0, 101.0))
    assert _kinds(labels, (1.0, 1.0)) == []
    check_labels(labels)


def test_no_labels_have_no_findings() -> None:
    assert _kinds(image_labels(), (1.0, 1.0)) == []


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ((20.0, 10.0, 20.0, 50.0), "degenerate"),
        ((20.0, 10.0, 60.0, 10.0), "degenerate"),
        ((60.0, 10.0, 20.0, 50.0), "degenerate"),
        ((math.nan, 10.0, 60.0, 50.0), "non_finite"),
        ((20.0, 10.0, math.inf, 50.0), "non_finite"),
        ((200.0, 10.0, 210.0, 50.0), "outside"),
        ((-20.0, 10.0, 0.0, 50.0), "outside"),
        ((20.0, 100.0, 30.0, 150.0), "outside"),
        ((150.0, 10.0, 201.5, 50.0), "out_of_bounds"),
        ((20.0, -1.5, 60.0, 50.0), "out_of_bounds"),
        ((199.5, 10.0, 200.9, 50.0), "out_of_bounds"),
        ((1e300, 10.0, 1e308, 50.0), "outside"),
    ],
)
def test_a_box_that_cannot_be_scored_is_a_fault_with_a_pointer(box: BoxXyxy, kind: str) -> None:
    labels = image_labels(GOOD, box)
    assert _kinds(labels, (1.0, 1.0)) == [(1, kind)]
    assert [problem.pointer for problem in find_faults(labels)] == ["/lines/1"]


@pytest.mark.parametrize(("label_format", "hint"), [("yolo", " (YOLO labels are fractions of it)"), ("coco", "")])
def test_pixels_in_a_yolo_file_are_told_its_unit(label_format: LabelFormat, hint: str) -> None:
    (problem,) = find_faults(image_labels((6000.0, 3000.0, 7000.0, 4000.0), label_format=label_format))
    assert f"pixels{hint}, got corners" in problem.detail


def test_an_object_may_have_two_faults_and_all_are_named() -> None:
    labels = image_labels((60.0, 10.0, 20.0, 50.0), GOOD, class_id=-1)
    with pytest.raises(LabelError, match="3 labels are wrong") as caught:
        check_labels(labels)
    assert [problem.pointer for problem in caught.value.problems] == ["/lines/0", "/lines/0", "/lines/1"]


def test_the_pointer_goes_to_the_box_within_the_object() -> None:
    labels = image_labels((60.0, 10.0, 20.0, 50.0), label_format="voc")
    assert find_faults(labels)[0].pointer == "/lines/0/bndbox"


def test_identical_and_nearly_identical_boxes_of_a_class_are_found_but_are_no_faults() -> None:
    labels = image_labels(GOOD, (20.0, 10.0, 61.0, 50.0), GOOD, (100.0, 10.0, 140.0, 50.0))
    assert _kinds(labels) == [(1, "duplicate"), (2, "identical")]
    assert "IoU 0.976 with /lines/0" in lint(labels)[0].problem.detail
    check_labels(labels)


def test_the_same_box_of_another_class_is_no_duplicate() -> None:
    a, b = image_labels(GOOD), image_labels(GOOD, class_id=1)
    assert _kinds(ImageLabels(a.objects + b.objects, 200, 100, "yolo")) == []


def test_an_iou_of_exactly_the_threshold_is_no_duplicate() -> None:
    assert _kinds(image_labels((0.0, 0.0, 100.0, 10.0), (0.0, 0.0, 95.0, 10.0))) == []


def test_duplicates_are_found_across_chunks() -> None:
    boxes = [(i % 190 * 1.0, i // 190 * 2.0, i % 190 + 2.0, i // 190 * 2 + 2.0) for i in range(1200)]
    assert _kinds(image_labels(*boxes, boxes[3])) == [(1200, "identical")]


def test_an_object_under_one_network_pixel_is_tiny() -> None:
    labels = image_labels((10.0, 10.0, 12.0, 30.0), (50.0, 10.0, 52.1, 30.0))
    assert _kinds(labels, (0.49, 1.0)) == [(0, "tiny")]
    assert _kinds(labels) == []


def test_usable_rows_leave_out_what_can_be_neither_learned_nor_detected() -> None:
    boxes: list[BoxXyxy] = [GOOD, (20.0, 10.0, 20.0, 50.0), (200.0, 1.0, 210.0, 9.0), (150.0, 10.0, 201.5, 50.0), GOOD]
    labels = image_labels(*boxes)
    assert usable_rows(labels) == [0, 3, 4]
    assert [(finding.index, finding.kind) for finding in find_unusable(labels)] == [(1, "degenerate"), (2, "outside")]
    assert usable_rows(image_labels(GOOD, class_id=-1)) == []

from dataclasses import replace
from typing import Any

import pytest

from tests.training.data.annotations.labels import CONTEXT
from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import LabelError, LabelProblem
from yoloscope.training.data.annotations import CocoFile, LabelContext, LabelObject, SizeProblem


def _document() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "train/a.jpg", "width": 200, "height": 100},
            {"id": 9, "file_name": "train/b.jpg", "width": 20, "height": 10},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 90, "name": "traffic_light"}],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 18, "bbox": [1, 1, 2, 2]},
            {"id": 2, "image_id": 7, "category_id": 90, "bbox": [10, 20, 30, 40], "iscrowd": 0},
            {"id": 3, "image_id": 7, "category_id": 18, "bbox": [0, 0, 200, 100.0], "iscrowd": 1},
        ],
    }


def _read(document: object, context: LabelContext = CONTEXT) -> list[LabelObject | LabelProblem]:
    return list(CocoFile.parse(document).read(context))


def test_the_image_s_annotations_are_found_by_name_and_its_categories_by_theirs() -> None:
    assert _read(_document()) == [
        LabelObject(2, "traffic light", (10.0, 20.0, 40.0, 60.0), "/annotations/1"),
        LabelObject(1, "dog", (0.0, 0.0, 200.0, 100.0), "/annotations/2", crowd=True),
    ]


def test_the_only_image_needs_no_name() -> None:
    document = _document()
    del document["images"][1]
    assert len(_read(document, LabelContext(ClassIndex(("dog", "cat")), 200, 100))) == 2


def test_an_image_without_annotations_has_no_objects() -> None:
    document = _document()
    document["annotations"] = []
    assert _read(document) == []


def test_an_exact_file_name_wins_over_the_last_path_component() -> None:
    document = _document()
    document["images"][1]["file_name"] = "a.jpg"
    document["images"][1] |= {"width": 200, "height": 100}
    assert [entry.pointer for entry in _read(document)] == ["/annotations/0"]


@pytest.mark.parametrize("name", ["c.jpg", None])
def test_an_image_that_cannot_be_chosen_raises(name: str | None) -> None:
    with pytest.raises(LabelError) as caught:
        _read(_document(), LabelContext(CONTEXT.classes, 200, 100, name))
    assert caught.value.problems[0].pointer == "/images"


def test_another_stated_size_is_a_problem() -> None:
    assert _read(_document(), LabelContext(CONTEXT.classes, 100, 100, "a.jpg"))[0] == SizeProblem(
        "/images/0", "expected labels of an image of 100x100 pixels as it is seen, got 200x100"
    )


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("bbox", [1, 2, 3], "bbox"),
        ("bbox", [1, 2, 3, "4"], "bbox"),
        ("bbox", [1, 2, 3, True], "bbox"),
        ("bbox", None, "bbox"),
        ("category_id", 1, "category_id"),
        ("category_id", "dog", "category_id"),
        ("iscrowd", 2, "iscrowd"),
        ("iscrowd", [], "iscrowd"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_a_problem(key: str, value: object, part: str) -> None:
    document = _document()
    document["annotations"][1][key] = value
    problem = _read(document)[0]
    assert isinstance(problem, LabelProblem)
    assert problem.pointer == f"/annotations/1/{part}"


@pytest.mark.parametrize(
    ("key", "value", "pointer"),
    [
        ("images", None, "/images"),
        ("images", [3], "/images/0"),
        ("annotations", {}, "/annotations"),
        ("annotations", [{"image_id": []}], "/annotations/0/image_id"),
        ("annotations", [{}], "/annotations/0/image_id"),
        ("categories", [{"id": 1}], "/categories/0"),
        ("categories", [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "/categories/1/id"),
    ],
)
def test_an_outline_that_is_not_coco_s_raises(key: str, value: object, pointer: str) -> None:
    with pytest.raises(LabelError) as caught:
        _read(_document() | {key: value})
    assert caught.value.problems[0].pointer == pointer


def test_a_document_that_is_no_object_raises() -> None:
    with pytest.raises(LabelError):
        _read([])


@pytest.mark.parametrize("bbox", [{}, {"bbox": None}, {"bbox": []}])
@pytest.mark.parametrize(
    ("segmentation", "box", "shape"),
    [
        ([[10, 20, 40, 25, 12.5, 60]], (10.0, 20.0, 40.0, 60.0), "polygon"),
        ([[10, 20, 40, 25, 12, 30], [5, 50, 8, 50, 8, 60]], (5.0, 20.0, 40.0, 60.0), "polygon"),
        ({"size": [100, 200], "counts": [1020, 40, 18940]}, (10.0, 20.0, 11.0, 60.0), "mask"),
        ({"size": [100, 200], "counts": "lo0X1l_b0"}, (10.0, 20.0, 11.0, 60.0), "mask"),
    ],
)
def test_an_annotation_without_a_box_has_the_one_around_its_segmentation(
    bbox: dict[str, Any], segmentation: object, box: tuple[float, ...], shape: str
) -> None:
    document = _document()
    del document["annotations"][1]["bbox"]
    document["annotations"][1] |= {"segmentation": segmentation, **bbox}
    entry = _read(document)[0]
    assert isinstance(entry, LabelObject)
    assert (entry.box_xyxy_px, entry.shape, entry.class_name) == (box, shape, "traffic light")
    refused = _read(document, replace(CONTEXT, shapes="refuse"))[0]
    assert isinstance(refused, LabelProblem)
    assert refused.pointer == "/annotations/1/bbox"


def test_a_box_counts_where_there_is_one() -> None:
    document = _document()
    document["annotations"][1]["segmentation"] = [[0, 0, 1, 0, 1, 1]]
    entry = _read(document)[0]
    assert isinstance(entry, LabelObject)
    assert (entry.box_xyxy_px, entry.shape) == ((10.0, 20.0, 40.0, 60.0), "box")


@pytest.mark.parametrize("segmentation", ["x", [[1, 2]], {"size": [1, 1], "counts": [1]}, {"counts": "x"}])
def test_a_segmentation_that_cannot_be_read_is_a_problem(segmentation: object) -> None:
    document = _document()
    del document["annotations"][1]["bbox"]
    document["annotations"][1]["segmentation"] = segmentation
    problem = _read(document)[0]
    assert isinstance(problem, LabelProblem)
    assert problem.pointer == "/annotations/1/segmentation"


@pytest.mark.parametrize("name", ["C:\\data\\train\\a.jpg", "train\\a.jpg", "/mnt/a.jpg"])
def test_folders_of_another_system_do_not_matter(name: str) -> None:
    document = _document()
    document["images"][0]["file_name"] = name
    assert [entry.pointer for entry in _read(document)] == ["/annotations/1", "/annotations/2"]
    assert len(_read(_document(), replace(CONTEXT, file_name=name))) == 2

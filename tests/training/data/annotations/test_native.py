from typing import Any

import pytest

from tests.training.data.annotations.labels import CONTEXT
from yoloscope.models.classes import UNKNOWN_CLASS
from yoloscope.models.errors import LabelError, LabelProblem
from yoloscope.training.data.annotations import LabelObject
from yoloscope.training.data.annotations.native import read_native

BOX = {"x1": 1, "y1": 2.5, "x2": 30, "y2": 40}


def _read(**members: Any) -> LabelObject | LabelProblem:
    (entry,) = read_native({"objects": [{"box": BOX, **members}]}, CONTEXT)
    return entry


def test_a_class_goes_by_name_or_id() -> None:
    expected = LabelObject(1, "dog", (1.0, 2.5, 30.0, 40.0), "/objects/0")
    assert _read(class_name="dog") == _read(class_id=1) == _read(class_name="dog", class_id=1) == expected


def test_flags_are_read() -> None:
    entry = _read(class_id=0, difficult=True, crowd=True)
    assert isinstance(entry, LabelObject)
    assert entry.difficult
    assert entry.crowd


def test_no_objects() -> None:
    assert list(read_native({"objects": []}, CONTEXT)) == []


def test_a_class_that_the_model_lacks_is_kept_as_unknown() -> None:
    entry = _read(class_name="unicorn")
    assert isinstance(entry, LabelObject)
    assert (entry.class_id, entry.class_name) == (UNKNOWN_CLASS, "unicorn")


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({}, ""),
        ({"class_name": "dog", "class_id": 0}, ""),
        ({"class_name": 5}, "/class_name"),
        ({"class_id": "1"}, "/class_id"),
        ({"class_id": 1.5}, "/class_id"),
        ({"class_id": True}, "/class_id"),
        ({"class_id": 1, "difficult": 1}, "/difficult"),
        ({"class_id": 1, "sco/re": 1}, "/sco~1re"),
        ({"class_id": 1, "box": [1, 2, 3, 4]}, "/box"),
        ({"class_id": 1, "box": {"x1": 1, "y1": 2, "x2": 3}}, "/box/y2"),
        ({"class_id": 1, "box": BOX | {"x1": "1"}}, "/box/x1"),
        ({"class_id": 1, "box": BOX | {"x1": False}}, "/box/x1"),
        ({"class_id": 1, "box": BOX | {"w": 1}}, "/box/w"),
    ],
)
def test_an_object_that_cannot_be_read_is_a_problem(members: dict[str, Any], pointer: str) -> None:
    problem = _read(**members)
    assert isinstance(problem, LabelProblem)
    assert problem.pointer == f"/objects/0{pointer}"


def test_an_integer_beyond_floats_is_infinite() -> None:
    entry = _read(class_id=1, box=BOX | {"x2": 10**400})
    assert isinstance(entry, LabelObject)
    assert entry.box_xyxy_px[2] == float("inf")


@pytest.mark.parametrize(
    ("image", "count"), [({"width": 200, "height": 100}, 0), ({"width": 1, "height": 100}, 1), (None, 1), ([], 1)]
)
def test_a_stated_size_is_checked(image: object, count: int) -> None:
    problems = list(read_native({"objects": [], "image": image}, CONTEXT))
    assert [problem.pointer for problem in problems] == ["/image"] * count


@pytest.mark.parametrize("document", [[], {}, {"objects": {}}, None, 3])
def test_a_document_without_a_list_of_objects_raises(document: object) -> None:
    with pytest.raises(LabelError):
        list(read_native(document, CONTEXT))

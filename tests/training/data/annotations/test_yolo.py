import math
from dataclasses import replace

import pytest

from tests.training.data.annotations.labels import CONTEXT
from yoloscope.models.classes import UNKNOWN_CLASS
from yoloscope.models.errors import LabelProblem
from yoloscope.training.data.annotations import LabelContext, LabelObject, LabelShape
from yoloscope.training.data.annotations.yolo import read_yolo


def _one(line: str, context: LabelContext = CONTEXT) -> LabelObject | LabelProblem:
    (entry,) = read_yolo(line.encode(), context)
    return entry


def test_a_line_becomes_a_box_in_pixels() -> None:
    entry = _one("1 0.5 0.25 0.2 0.1")
    assert entry == LabelObject(1, "dog", (80.0, 20.0, 120.0, 30.0), "/lines/0")


def test_a_class_id_may_be_written_as_a_float() -> None:
    assert _one("1.0 0.5 0.25 0.2 0.1") == _one("1 0.5 0.25 0.2 0.1")


def test_an_empty_file_has_no_objects() -> None:
    assert list(read_yolo(b"", CONTEXT)) == []
    assert list(read_yolo(b"\n \r\n\n", CONTEXT)) == []


def test_blank_lines_count_in_pointers() -> None:
    entries = list(read_yolo(b"\r\n0 .5 .5 .1 .1\r\n\r\n1 .5 .5 .1 .1", CONTEXT))
    assert [entry.pointer for entry in entries] == ["/lines/1", "/lines/3"]


def test_a_byte_order_mark_is_not_part_of_the_first_column() -> None:
    (entry,) = read_yolo(b"\xef\xbb\xbf0 .5 .5 .1 .1", CONTEXT)
    assert isinstance(entry, LabelObject)


@pytest.mark.parametrize("class_id", ["3", "-1", "99999"])
def test_an_id_that_the_model_lacks_is_kept_as_unknown(class_id: str) -> None:
    entry = _one(f"{class_id} .5 .5 .1 .1")
    assert isinstance(entry, LabelObject)
    assert (entry.class_id, entry.class_name) == (UNKNOWN_CLASS, class_id)


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("0 .5 .5 .1", "expected 5 columns (class cx cy w h), got 4"),
        (
            "0 .1 .1 .2 .2 .3 .3 .4",
            "expected 5 columns (class cx cy w h), or a class and the points x y of a polygon, got 8",
        ),
        ("0 .1 .1 .2 .2 .3 x", "expected a number for y3, got 'x'"),
        ("0 .5 .5 .1 .1 good", "expected a number for score, got 'good'"),
        ("dog .5 .5 .1 .1", "expected a class id, got 'dog'"),
        ("0.5 .5 .5 .1 .1", "expected a class id, got '0.5'"),
        ("0 0x1 .5 .1 .1", "expected a number for cx, got '0x1'"),
        ("0 .5 1_0 .1 .1", "expected a number for cy, got '1_0'"),
        ("0 .5 .5 .1, .1", "expected a number for w, got '.1,'"),
        ("0 .5 .5 .1 ٣", "expected a number for h, got '٣'"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_problem(line: str, detail: str) -> None:
    assert _one(line) == LabelProblem("/lines/0", detail)


def test_nan_and_infinity_are_read_and_left_to_lint() -> None:
    entry = _one("0 nan .5 1e999 .1")
    assert isinstance(entry, LabelObject)
    assert entry.box_xyxy_px[0] != entry.box_xyxy_px[0]


SHAPES: list[tuple[str, LabelShape, tuple[float, float, float, float], str]] = [
    ("1 .5 .25 .2 .1 .875", "scored box", (80.0, 20.0, 120.0, 30.0), "got 6; a score is no part of a label"),
    ("1 .5 .1 .25 .9 .75 .5", "polygon", (50.0, 10.0, 150.0, 90.0), "got 7; polygons are not boxes"),
    ("1 .5 .1 .75 .5 .5 .9 .25 .5", "oriented box", (50.0, 10.0, 150.0, 90.0), "got 9; polygons are not boxes"),
    ("1 .5 .1 .75 .5 .5 .9 .25 .5 .3 .2", "polygon", (50.0, 10.0, 150.0, 90.0), "got 11; polygons are not boxes"),
]


@pytest.mark.parametrize(("line", "shape", "box", "refusal"), SHAPES)
def test_other_shapes_are_read_as_the_box_around_them_or_refused(
    line: str, shape: LabelShape, box: tuple[float, float, float, float], refusal: str
) -> None:
    assert _one(line) == LabelObject(1, "dog", box, "/lines/0", shape=shape)
    problem = _one(line, replace(CONTEXT, shapes="refuse"))
    assert problem == LabelProblem("/lines/0", f"expected 5 columns (class cx cy w h), {refusal}")


def test_a_polygon_with_a_point_that_is_no_number_is_left_to_lint() -> None:
    entry = _one("0 .1 .1 .2 nan .3 .3")
    assert isinstance(entry, LabelObject)
    assert all(map(math.isnan, entry.box_xyxy_px))


@pytest.mark.parametrize(
    "data",
    [
        "\ufeff1 .5 .25 .2 .1\r\n".encode("utf-16-le"),
        "\ufeff1 .5 .25 .2 .1\r\n".encode("utf-16-be"),
        b"1\t.5\t.25\t.2\t.1\t\r\n",
        b"  1  .5 .25 .2 .1   \r",
    ],
)
def test_text_as_editors_write_it(data: bytes) -> None:
    assert list(read_yolo(data, CONTEXT)) == [LabelObject(1, "dog", (80.0, 20.0, 120.0, 30.0), "/lines/0")]

import pytest

from tests.training.data.labels import CONTEXT
from yoloscope.models.errors import LabelProblem
from yoloscope.training.data.annotations import UNKNOWN_CLASS, LabelObject
from yoloscope.training.data.annotations.yolo import read_yolo


def _one(line: str) -> LabelObject | LabelProblem:
    (entry,) = read_yolo(line.encode(), CONTEXT)
    return entry


def test_a_line_becomes_a_box_in_pixels() -> None:
    entry = _one("1 0.5 0.25 0.2 0.1")
    assert entry == LabelObject(1, "dog", (80.0, 20.0, 120.0, 30.0), "/lines/0")


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
        ("0 .5 .5 .1 .1 .9", "expected 5 columns (class cx cy w h), got 6; a score is no part of a label"),
        ("0 .1 .1 .2 .2 .3 .3", "expected 5 columns (class cx cy w h), got 7; polygons are not boxes"),
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

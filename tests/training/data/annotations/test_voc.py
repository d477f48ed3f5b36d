import math
from dataclasses import replace

import pytest

from tests.training.data.annotations.labels import CONTEXT, VOC
from yoloscope.models.errors import LabelError, LabelProblem
from yoloscope.training.data.annotations import LabelObject, SizeProblem
from yoloscope.training.data.annotations.voc import read_voc


def _changed(old: str, new: str) -> list[LabelObject | LabelProblem]:
    assert old in VOC
    return list(read_voc(VOC.replace(old, new, 1).encode(), CONTEXT))


def test_objects_keep_their_order_flags_and_edges_as_written() -> None:
    assert list(read_voc(VOC.encode(), CONTEXT)) == [
        LabelObject(1, "dog", (20.0, 10.0, 60.5, 30.0), "/annotation/object/0", difficult=True),
        LabelObject(0, "cat", (1.0, 1.0, 200.0, 100.0), "/annotation/object/1"),
    ]


def test_an_image_without_objects() -> None:
    assert list(read_voc(b"<annotation/>", CONTEXT)) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_the_declared_encoding_is_obeyed(encoding: str) -> None:
    document = f'<?xml version="1.0" encoding="{encoding}"?>\n{VOC}'
    assert len(list(read_voc(document.encode(encoding), CONTEXT))) == 2


def test_labels_of_an_image_of_another_size_are_a_problem() -> None:
    problem = _changed("<width>200</width><height>100</height>", "<width>100</width><height>200</height>")[0]
    assert problem == SizeProblem(
        "/annotation/size",
        "expected labels of an image of 200x100 pixels as it is seen, got 100x200; the sides are swapped, as where a "
        "photo was labeled without its EXIF orientation: remove the orientation from the image file, or label the "
        "image upright",
    )


def test_a_size_of_zero_counts_as_not_stated() -> None:
    assert len(_changed("<width>200</width><height>100</height>", "<width>0</width><height>0</height>")) == 2


@pytest.mark.parametrize("word", ["Unspecified", "unspecified", " "])
def test_an_object_not_said_to_be_difficult_is_not(word: str) -> None:
    entry = _changed("<difficult>1</difficult>", f"<difficult>{word}</difficult>")[0]
    assert isinstance(entry, LabelObject)
    assert not entry.difficult


@pytest.mark.parametrize(
    ("old", "new", "pointer", "detail"),
    [
        ("<name>dog</name>", "", "/name", "expected one class name, got none"),
        ("<name>dog</name>", "<name> </name>", "/name", "expected one class name, got an empty one"),
        ("<name>dog</name>", "<name>a</name><name>b</name>", "/name", "expected one class name, got 2"),
        ("<xmin>20</xmin>", "<xmin>x</xmin>", "/bndbox/xmin", "expected a number, got 'x'"),
        ("<ymin>10</ymin>", "", "/bndbox/ymin", "expected a number, got none"),
        ("<xmax>60.5</xmax>", "<xmax>1</xmax><xmax>2</xmax>", "/bndbox/xmax", "expected a number, got 2"),
        ("<difficult>1</difficult>", "<difficult>yes</difficult>", "/difficult", "expected 0 or 1, got 'yes'"),
    ],
)
def test_an_object_that_cannot_be_read_is_a_problem(old: str, new: str, pointer: str, detail: str) -> None:
    problem, other = _changed(old, new)
    assert problem == LabelProblem(f"/annotation/object/0{pointer}", detail)
    assert isinstance(other, LabelObject)


def test_parts_of_an_object_are_not_objects() -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    entries = _changed("<difficult>1</difficult>", f"<difficult>1</difficult>{part}")
    assert len(entries) == 2
    assert all(isinstance(entry, LabelObject) for entry in entries)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "b">]><annotation/>', "without a document type declaration"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><annotation/>', "without a document type declaration"),
        (b"<annotation>&undefined;</annotation>", "well-formed XML"),
        (b"<annotation>", "well-formed XML"),
        (b"<annotation></object>", "well-formed XML"),
        (b"<annotation/><annotation/>", "well-formed XML"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "well-formed XML"),
        (b'<?xml version="1.0" encoding="utf-7"?><annotation/>', "well-formed XML"),
        (b"", "well-formed XML"),
        (b"<a>" * 40 + b"</a>" * 40, "at most 32 levels"),
        (b"<annotation>" + b"<object/>" * 400_000 + b"</annotation>", "at most 400000 elements"),
        (b"<labels/>", "root element 'annotation'"),
    ],
)
def test_a_document_that_cannot_be_read_raises(document: bytes, expected: str) -> None:
    with pytest.raises(LabelError, match=expected) as caught:
        list(read_voc(document, CONTEXT))
    assert caught.value.problems[0].pointer == ""


BOX = "<bndbox><xmin>20</xmin><ymin>10</ymin><xmax>60.5</xmax><ymax>30</ymax></bndbox>"
ROTATED = "<robndbox><cx>100</cx><cy>50</cy><w>40</w><h>20</h><angle>{}</angle></robndbox>"
POINTS = "<polygon><pt><x>3</x><y>9</y></pt><pt><x>1</x><y>4</y></pt><pt><x>2</x><y>5.5</y></pt></polygon>"
NUMBERED = "<polygon><x1>3</x1><y1>9</y1><x2>1</x2><y2>4</y2><x3>2</x3><y3>5</y3></polygon>"


@pytest.mark.parametrize(
    ("element", "box", "shape"),
    [
        (ROTATED.format(0), (80.0, 40.0, 120.0, 60.0), "oriented box"),
        (ROTATED.format(math.pi / 2), (90.0, 30.0, 110.0, 70.0), "oriented box"),
        (ROTATED.format(-math.pi / 4), (78.787, 28.787, 121.213, 71.213), "oriented box"),
        (POINTS, (1.0, 4.0, 3.0, 9.0), "polygon"),
        (NUMBERED, (1.0, 4.0, 3.0, 9.0), "polygon"),
        (BOX + NUMBERED, (20.0, 10.0, 60.5, 30.0), "box"),
    ],
)
def test_other_shapes_have_the_box_around_them(element: str, box: tuple[float, ...], shape: str) -> None:
    entry = _changed(BOX, element)[0]
    assert isinstance(entry, LabelObject)
    assert entry.shape == shape
    assert entry.box_xyxy_px == pytest.approx(box, abs=1e-3)


@pytest.mark.parametrize("element", [ROTATED.format(0), POINTS, NUMBERED])
def test_other_shapes_can_be_refused(element: str) -> None:
    entry = next(read_voc(VOC.replace(BOX, element, 1).encode(), replace(CONTEXT, shapes="refuse")))
    assert entry == LabelProblem("/annotation/object/0/bndbox", "expected one box, got none")


@pytest.mark.parametrize(
    ("element", "part"),
    [
        (ROTATED.format("x"), "robndbox/angle"),
        (ROTATED.format("inf"), "robndbox/angle"),
        ("<polygon/>", "polygon"),
        ("<polygon><x1>3</x1><y1>9</y1><x2>1</x2><y2>4</y2></polygon>", "polygon"),
        (NUMBERED.replace("<y3>5</y3>", "<y3>?</y3>"), "polygon"),
        (POINTS.replace("<y>4</y>", ""), "polygon"),
    ],
)
def test_other_shapes_that_cannot_be_read_are_problems(element: str, part: str) -> None:
    problem = _changed(BOX, element)[0]
    assert isinstance(problem, LabelProblem)
    assert problem.pointer == f"/annotation/object/0/{part}"

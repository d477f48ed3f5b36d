"""Edits of VOC XML: the elements concerned change, every other byte stays."""

from pathlib import Path

import pytest

from yoloscope.models.classes import ClassIndex
from yoloscope.training.data.annotations import LabelContext, scan_labels
from yoloscope.training.data.datasets import LabeledImage
from yoloscope.training.diagnostics.mending.edits import Change, ImageEdits, NewLabel
from yoloscope.training.diagnostics.mending.voc import count_lost_polygons, edit_voc

FILE = """<?xml version="1.0" encoding="ENCODING"?>
<annotation verified="yes">
\t<!-- drawn by hand: é -->
\t<filename>a > b.jpg</filename>
\t<object>
\t\t<name>cat</name>
\t\t<pose>Left</pose><empty/>
\t\t<bndbox><xmin>4</xmin><ymin>3</ymin><xmax>12</xmax><ymax>9</ymax></bndbox>
\t</object>
\t<object>
\t\t<name>dog</name>
\t\t<bndbox>
\t\t\t<xmin> 20 </xmin>
\t\t\t<ymin>15</ymin>
\t\t\t<xmax>40</xmax>
\t\t\t<ymax>30</ymax>
\t\t</bndbox>
\t\t<part><name>head</name></part>
\t</object>
</annotation>
"""


def edits_of(data: bytes) -> ImageEdits:
    labels = scan_labels(data, LabelContext(ClassIndex(("cat", "dog")), 40, 30)).labels
    return ImageEdits(LabeledImage(Path("a.jpg"), 1, labels, Path("a.xml"), ()))


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1", "UTF-16"])
def test_name_and_box_change_and_nothing_else(encoding: str) -> None:
    data = FILE.replace("ENCODING", encoding).encode(encoding)
    edits = edits_of(data)
    edits.changed = {0: Change(1, "a <b> é 犬", None), 1: Change(None, None, (19.4, 14.6, 39, 29))}
    dog = "犬" if encoding.startswith("UTF") else "&#29356;"
    expected = (
        FILE.replace("ENCODING", encoding)
        .replace("<name>cat<", f"<name>a &lt;b&gt; é {dog}<")
        .replace("> 20 <", ">19<")
        .replace(">15<", ">15<")
        .replace(">40<", ">39<")
        .replace(">30<", ">29<")
    )
    assert edit_voc(data, edits) == expected.encode(encoding)


def test_a_deleted_object_takes_its_line_with_it_and_an_added_one_is_indented_as_the_last() -> None:
    data = FILE.replace("ENCODING", "UTF-8").encode()
    edits = edits_of(data)
    edits.deleted = {0}
    edits.added = [NewLabel(0, "cat", (1, 2, 5, 8))]
    start, end = data.index(b"\n\t<object>"), data.index(b"\n\t<object>\n\t\t<name>dog")
    new = (
        b"\n\t<object>\n\t\t<name>cat</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>"
        b"\n\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>1</xmin>\n\t\t\t<ymin>2</ymin>"
        b"\n\t\t\t<xmax>5</xmax>\n\t\t\t<ymax>8</ymax>\n\t\t</bndbox>\n\t</object>"
    )
    tail = b"\n</annotation>\n"
    assert edit_voc(data, edits) == data[:start] + data[end:].removesuffix(tail) + new + tail


@pytest.mark.parametrize(
    ("data", "before", "after"),
    [
        (b"<annotation/>", b"<annotation>", b"</annotation>"),
        (b"<annotation></annotation>", b"<annotation>", b"</annotation>"),
        (b"<annotation><size/></annotation>\n", b"<annotation><size/>", b"</annotation>\n"),
    ],
)
def test_an_object_is_added_where_there_is_none(data: bytes, before: bytes, after: bytes) -> None:
    edits = edits_of(data)
    edits.added = [NewLabel(0, "cat", (1, 2, 5, 8))]
    assert edit_voc(data, edits) == (
        before + b"<object><name>cat</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
        b"<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>8</ymax></bndbox></object>" + after
    )


def test_coordinates_are_whole_unless_those_of_the_file_are_not() -> None:
    for written, expected in ((b"4", b"<xmin>1</xmin>"), (b"4.25", b"<xmin>1.234</xmin>")):
        data = FILE.replace("ENCODING", "UTF-8").encode().replace(b"<xmin>4<", b"<xmin>" + written + b"<")
        edits = edits_of(data)
        edits.added = [NewLabel(0, "cat", (1.2341, 2, 5, 8))]
        assert expected in edit_voc(data, edits)


@pytest.mark.parametrize(
    ("box", "written"),
    [((0.6, 0.6, 1.4, 9), "0 0 1 9"), ((39.7, 5, 40, 9), "39 5 40 9"), ((2.4, 3.4, 9.6, 9), "2 3 10 9")],
)
def test_a_rounded_box_keeps_an_area(box: tuple[float, float, float, float], written: str) -> None:
    data = b"<annotation/>"
    edits = edits_of(data)
    edits.added = [NewLabel(0, "cat", box)]
    found = scan_labels(edit_voc(data, edits), LabelContext(ClassIndex(("cat",)), 40, 30)).labels
    assert " ".join(f"{value:g}" for value in found.objects[0].box_xyxy_px) == written


def test_a_moved_rotated_box_or_polygon_becomes_a_box() -> None:
    data = (
        b"<annotation><object><type>robndbox</type><name>cat</name><robndbox><cx>9</cx><cy>9</cy><w>4</w><h>4</h>"
        b"<angle>0</angle></robndbox></object>"
        b"<object><name>dog</name><polygon><x1>1</x1><y1>1</y1><x2>9</x2><y2>1</y2><x3>9</x3><y3>9</y3></polygon>"
        b"<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    edits = edits_of(data)
    edits.changed = {0: Change(None, None, (1, 2, 5, 8)), 1: Change(None, None, (2, 2, 8, 8))}
    assert count_lost_polygons(data, edits) == 2
    assert edit_voc(data, edits) == (
        b"<annotation><object><type>bndbox</type><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax>"
        b"<ymax>8</ymax></bndbox></object><object><name>dog</name>"
        b"<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>8</xmax><ymax>8</ymax></bndbox></object></annotation>"
    )

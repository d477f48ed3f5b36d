"""Edits of YOLO text: the lines concerned change, every other byte stays."""

from pathlib import Path

import pytest

from yoloscope.models.classes import ClassIndex
from yoloscope.training.data.annotations import LabelContext, scan_labels
from yoloscope.training.data.datasets import LabeledImage
from yoloscope.training.diagnostics.mending.edits import Change, ImageEdits, NewLabel
from yoloscope.training.diagnostics.mending.yolo import count_lost_polygons, edit_yolo

BOX = (10.0, 20.0, 30.0, 60.0)
"""In an image of 100x200 pixels: center .2 .2, size .2 .2."""


def edits_of(data: bytes) -> ImageEdits:
    labels = scan_labels(data, LabelContext(ClassIndex(("cat", "dog")), 100, 200)).labels
    return ImageEdits(LabeledImage(Path("a.jpg"), 1, labels, Path("a.txt"), ()))


def test_spaces_ends_of_lines_and_other_lines_stay() -> None:
    data = b"0  .5 .5\t.1 .1 \r\n\r\n 1 0.50 0.5 0.1 0.10\r\n1 .3 .3 .1 .1\r\n"
    edits = edits_of(data)
    edits.changed = {0: Change(1, "dog", None), 1: Change(None, None, BOX)}
    edits.deleted = {2}
    assert edit_yolo(data, edits) == b"1  .5 .5\t.1 .1 \r\n\r\n 1 0.2 0.2 0.2 0.2\r\n"


def test_a_label_is_added_in_a_line_of_its_own() -> None:
    for data, expected in ((b"", b""), (b"0 .5 .5 .1 .1", b"0 .5 .5 .1 .1\n"), (b"\r\n", b"\r\n")):
        edits = edits_of(data)
        edits.added = [NewLabel(1, "dog", BOX)]
        ending = b"\r\n" if b"\r" in data else b"\n"
        assert edit_yolo(data, edits) == expected + b"1 0.2 0.2 0.2 0.2" + ending


def test_a_score_stays_and_a_polygon_becomes_a_box() -> None:
    data = b"0 .5 .5 .1 .1 .93\n1 .1 .1 .2 .1 .2 .2 .3 .3\n"
    edits = edits_of(data)
    edits.changed = {0: Change(None, None, BOX), 1: Change(0, "cat", BOX)}
    assert edit_yolo(data, edits) == b"0 0.2 0.2 0.2 0.2 .93\n0 0.2 0.2 0.2 0.2\n"
    assert count_lost_polygons(edits) == 1


def test_a_relabeled_polygon_stays_one() -> None:
    data = b"0 .1 .1 .2 .1 .2 .2 .3 .3\n"
    edits = edits_of(data)
    edits.changed = {0: Change(1, "dog", None)}
    assert edit_yolo(data, edits) == b"1 .1 .1 .2 .1 .2 .2 .3 .3\n"
    assert count_lost_polygons(edits) == 0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_encoding_stays(encoding: str) -> None:
    data = "0 .5 .5 .1 .1\n".encode(encoding)
    edits = edits_of(data)
    edits.changed = {0: Change(1, "dog", None)}
    assert edit_yolo(data, edits) == "1 .5 .5 .1 .1\n".encode(encoding)

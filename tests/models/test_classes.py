from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from yoloscope.models.classes import (
    UNKNOWN_CLASS,
    ClassIndex,
    check_class_names,
    class_color,
    decode_text,
    encode_text,
    read_class_names,
    text_color_on,
)
from yoloscope.models.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "expected"),
    [("traffic light", 1), ("Traffic_Light", 1), ("traffic-light", 1), ("motorcycle", 0), ("sofa", UNKNOWN_CLASS)],
)
def test_spellings(written: str, expected: int) -> None:
    assert ClassIndex(("motorbike", "traffic light")).by_name(written) == expected


def test_an_exact_name_wins_and_an_ambiguous_loose_one_is_unknown() -> None:
    index = ClassIndex(("RBC", "rbc"))
    assert (index.by_name("RBC"), index.by_name("rbc"), index.by_name("Rbc")) == (0, 1, UNKNOWN_CLASS)


def test_ids_outside_the_model_s_are_unknown() -> None:
    index = ClassIndex(("a", "b"))
    assert [index.by_id(i) for i in (-1, 0, 1, 2)] == [UNKNOWN_CLASS, 0, 1, UNKNOWN_CLASS]


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfcat\r\ntraffic light \r\n\r\n",
        "\ufeffcat\r\ntraffic light\r\n".encode("utf-16-le"),
        "\ufeffcat\ntraffic light".encode("utf-16-be"),
        b"cat\n\ttraffic light\t\n",
    ],
)
def test_names_files_as_editors_write_them(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "my.names"
    path.write_bytes(data)
    assert read_class_names(path) == ("cat", "traffic light")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cat\n\ndog\n", "expected class names in .*, got an empty one"),
        (b"\n", "expected class names in .*, got none"),
        (b"cat\ndog\ncat\n", "expected each class name once in .*, got cat more than once"),
        (b"tr\xe9s\n", "expected a text file of class names"),
    ],
)
def test_names_files_that_name_no_classes(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "my.names"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        read_class_names(path)


def test_every_name_that_stands_twice_is_named() -> None:
    assert check_class_names(["b", "a"], "x") == ("b", "a")
    with pytest.raises(ConfigError, match="once in x, got a, b more than once"):
        check_class_names(["b", "a", "c", "b", "a"], "x")


def test_text_without_a_mark_is_utf_8() -> None:
    assert decode_text("红".encode()) == decode_text("\ufeff红".encode("utf-32-le")) == "红"


def test_colors_of_80_classes_are_distinct_and_those_of_neighbors_far_apart() -> None:
    colors = [class_color(index) for index in range(80)]
    assert colors[0] == (255, 136, 25)
    assert len(set(colors)) == 80
    assert all(max(np.abs(np.subtract(a, b))) > 60 for a, b in pairwise(colors))


def test_text_is_black_on_bright_and_white_on_dark_colors() -> None:
    assert text_color_on((255, 255, 0)) == (0, 0, 0)
    assert text_color_on((0, 0, 160)) == (255, 255, 255)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_text_is_encoded_as_another_file_is(encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    like = f"{mark}cat".encode(encoding)
    assert encode_text("红", like=like) == f"{mark}红".encode(encoding)

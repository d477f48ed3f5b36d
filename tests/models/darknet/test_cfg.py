import pytest

from yoloscope.models.darknet.cfg import parse_cfg
from yoloscope.models.errors import CfgError


def test_lines_are_remembered_through_comments_blanks_and_carriage_returns() -> None:
    text = "\ufeff# mine\r\n\r\n[net]\r\n width = 64 # pixels\r\n;old\r\n[ yolo ]\r\nanchors = 1,2,  3,4\r\n"
    net, yolo = parse_cfg(text)
    assert (net.name, net.line, net.entries["width"].value, net.entries["width"].line) == ("net", 3, "64", 4)
    assert (yolo.name, yolo.line, yolo.entries["anchors"].value) == ("yolo", 6, "1,2,3,4")


def test_first_of_a_repeated_key_counts() -> None:
    (net,) = parse_cfg("[net]\nbatch=1\nbatch=64\n")
    assert net.entries["batch"].value == "1"
    assert [(entry.value, entry.line) for entry in net.repeated] == [("64", 3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("# only a comment\n", "empty"),
        ("width=3\n", "line 1: expected \\[net\\] first"),
        ("[convolutional]\n", "line 1: expected \\[net\\] first, got \\[convolutional\\]"),
        ("[net]\nwidth 64\n", "line 2: expected key=value, got 'width 64'"),
        ("[net]\n=64\n", "line 2: expected key=value"),
        ("[net\n", "line 1: expected a section"),
        ("[net]\n[]\n", "line 2: expected a section"),
        ("[net]\n\n[yolo] x\n", "line 3: expected a section"),
    ],
)
def test_errors_name_the_line(text: str, message: str) -> None:
    with pytest.raises(CfgError, match=message):
        parse_cfg(text)

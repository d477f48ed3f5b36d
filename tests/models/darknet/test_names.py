"""Class names from a .names file, or from the one at which a .data file points."""

from pathlib import Path

import pytest

from yoloscope.models.darknet.names import read_darknet_names
from yoloscope.models.errors import ConfigError

DATA = "classes = 2\ntrain  = data/train.txt\nvalid  = data/test.txt\nnames = {}\nbackup = backup/\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_one_name_a_line(tmp_path: Path) -> None:
    assert read_darknet_names(write(tmp_path / "x.names", "cat\ntraffic light\n")) == ("cat", "traffic light")


@pytest.mark.parametrize("place", ["cfg/data/obj.names", "data/obj.names", "cfg/obj.names"])
def test_a_data_file_points_at_names_beside_it_or_above(place: str, tmp_path: Path) -> None:
    write(tmp_path / place, "cat\ndog\n")
    assert read_darknet_names(write(tmp_path / "cfg/obj.data", DATA.format("data/obj.names"))) == ("cat", "dog")


def test_names_that_look_like_no_data_file_are_names(tmp_path: Path) -> None:
    assert read_darknet_names(write(tmp_path / "x.names", "a=b\nc=d\n")) == ("a=b", "c=d")
    assert read_darknet_names(write(tmp_path / "y.names", "train\nnames\n")) == ("train", "names")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DATA.format("data/no.names"), "says names=data/no.names: expected that file beside it or in a folder above"),
        ("classes=2\ntrain=a.txt\n", "expected names= in .*, which is a .data file, got classes, train"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "got a Git LFS pointer"),
        ("<!doctype html>", "got a web page"),
        ("[net]\nwidth=416\n", "got a cfg"),
    ],
)
def test_what_holds_no_names_is_refused_by_name(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_darknet_names(write(tmp_path / "obj.data", text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"class names at .*none\.names"):
        read_darknet_names(tmp_path / "none.names")

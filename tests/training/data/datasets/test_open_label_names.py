"""Class names of one label file, found in the data set that it lies in."""

from __future__ import annotations

from pathlib import Path

import pytest

from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import find_label_names

NAMES = "cat\ndog\n"
YAML = "train: images\nnc: 2\nnames: [dog, no]\n"


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("label", "files", "source", "names"),
    [
        ("set/a.txt", {"set/classes.txt": NAMES}, "set/classes.txt", ("cat", "dog")),
        ("set/labels/a.txt", {"set/labels/classes.txt": NAMES}, "set/labels/classes.txt", ("cat", "dog")),
        ("set/annots/a.txt", {"set/classes.txt": NAMES}, "set/classes.txt", ("cat", "dog")),
        ("set/labels/train/a.txt", {"set/classes.txt": NAMES}, "set/classes.txt", ("cat", "dog")),
        ("set/train/labels/a.txt", {"set/data.yaml": YAML}, "set/data.yaml", ("dog", "no")),
        ("set/labels/a.txt", {"set/data.yaml": YAML, "set/classes.txt": NAMES}, "set/data.yaml", ("dog", "no")),
        ("set/labels/a.txt", {"set/data/obj.names": NAMES}, "set/data/obj.names", ("cat", "dog")),
        (
            "set/labels/a.txt",
            {"set/obj.data": "train = x\nnames = n.names\n", "set/n.names": "b\na\n"},
            "set/obj.data",
            ("b", "a"),
        ),
        (
            "set/a.txt",
            {"set/classes.txt": NAMES, "set/predefined_classes.txt": "x\n"},
            "set/classes.txt",
            ("cat", "dog"),
        ),
    ],
)
def test_the_nearest_names_count(
    tmp_path: Path, label: str, files: dict[str, str], source: str, names: tuple[str, ...]
) -> None:
    _write(tmp_path, files | {label: "0 .5 .5 .1 .1\n"})
    assert find_label_names(tmp_path / label) == (tmp_path / source, names)


@pytest.mark.parametrize(
    ("label", "files"),
    [
        ("set/a.txt", {}),
        ("set/a.txt", {"set/other/classes.txt": NAMES}),
        ("set/photos/mine/a.txt", {"set/classes.txt": NAMES}),
        ("set/labels/a.xml", {"set/classes.txt": NAMES}),
    ],
)
def test_names_of_something_else_do_not_count(tmp_path: Path, label: str, files: dict[str, str]) -> None:
    _write(tmp_path, files | {label: ""})
    assert find_label_names(tmp_path / label) is None


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.names": NAMES, "b.names": "x\n"}, "expected one list of class names .* a.names, b.names"),
        ({"data.yaml": "names: [a, b]\nnc: 3\n"}, "expected as many names as nc says"),
    ],
)
def test_names_that_contradict_are_an_error(tmp_path: Path, files: dict[str, str], words: str) -> None:
    _write(tmp_path, files | {"a.txt": ""})
    with pytest.raises(DatasetError, match=words):
        find_label_names(tmp_path / "a.txt")

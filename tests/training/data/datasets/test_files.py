from pathlib import Path

import pytest

from tests.training.data.datasets.folders import write_text
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets.files import (
    choose_split,
    find_names_file,
    is_usual,
    read_list,
    read_names,
    same_split,
    split_of,
    splits_differ,
)


@pytest.mark.parametrize(
    ("name", "other"), [("val", "valid"), ("val", "validation"), ("Val2017", "valid"), ("train_2012", "training")]
)
def test_spellings_of_a_split(name: str, other: str) -> None:
    assert same_split(name, other)
    assert is_usual(name)
    assert not same_split(name, "test")


def test_other_names_are_themselves() -> None:
    assert same_split("night", "Night")
    assert not same_split("night", "day")
    assert not is_usual("trainval")


def test_a_split_is_chosen_by_name_then_by_spelling() -> None:
    assert choose_split("val", ("train", "valid"), Path("x")) == "valid"
    assert choose_split("val", ("val", "valid"), Path("x")) == "val"
    with pytest.raises(DatasetError, match="expected one split 'dev' in x, got val, valid"):
        choose_split("dev", ("val", "valid"), Path("x"))
    with pytest.raises(DatasetError, match="expected one split 'val' in x, got none; name no split to take all of it"):
        choose_split("val", (), Path("x"))


def test_the_split_of_a_path_is_its_first_usual_folder() -> None:
    assert split_of(("pets", "images", "valid", "test")) == "valid"
    assert split_of(("images",)) is None
    assert splits_differ(("train", "a"), ("val", "a"))
    assert not splits_differ(("val", "a"), ("valid", "a"))
    assert not splits_differ(("a",), ("train",))


@pytest.mark.parametrize(
    "name", ["classes.txt", "labels/classes.txt", "pets.names", "data/obj.names", "train/_darknet.labels"]
)
def test_names_files_of_labeling_tools(tmp_path: Path, name: str) -> None:
    path = write_text(tmp_path / name, "cat\n")
    assert find_names_file(tmp_path) == path


def test_the_nearest_names_file_counts_and_several_that_differ_do_not(tmp_path: Path) -> None:
    write_text(tmp_path / "train/_darknet.labels", "cat\n")
    write_text(tmp_path / "valid/_darknet.labels", "cat\n")
    assert find_names_file(tmp_path) == tmp_path / "train/_darknet.labels"
    write_text(tmp_path / "valid/_darknet.labels", "dog\n")
    assert find_names_file(tmp_path) is None
    assert find_names_file(tmp_path / "valid") == tmp_path / "valid/_darknet.labels"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_and_names_as_editors_write_them(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(" C:\\pets\\a.jpg\t\r\n\r\nb c.jpg\r\n".encode(encoding))
    assert read_list(path) == ["C:\\pets\\a.jpg", "b c.jpg"]
    path.write_bytes("猫\r\n红细胞 \r\n".encode(encoding))
    assert read_names(path) == ("猫", "红细胞")


def test_a_class_that_stands_twice_is_refused_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected each class name once in .*, got cat more than once"):
        read_names(write_text(tmp_path / "classes.txt", "cat\ndog\ncat\n"))

"""Data sets without splits, and the names of those that have some."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.data.datasets.folders import coco_document, voc_xml, write_coco, write_image, write_text, write_yolo
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import list_splits, open_dataset, open_split_or_all


def undivided_voc(root: Path) -> None:
    for stem in ("a", "b"):
        write_image(root / "images" / f"{stem}.jpg")
        write_text(root / "annots" / f"{stem}.xml", voc_xml([("cat", (4, 3, 12, 9))]))


def undivided_yolo(root: Path) -> None:
    for stem in ("a", "b"):
        write_image(root / "images" / f"{stem}.png")
        write_text(root / "labels" / f"{stem}.txt", "0 .5 .5 .5 .5\n")
    write_text(root / "classes.txt", "cat\n")


def undivided_coco(root: Path) -> None:
    for stem in ("a", "b"):
        write_image(root / "images" / f"{stem}.png")
    write_text(root / "annotations.json", json.dumps(coco_document()))


UNDIVIDED = [undivided_voc, undivided_yolo, undivided_coco]


@pytest.mark.parametrize("write", UNDIVIDED)
@pytest.mark.parametrize("split", ["train", "val"])
def test_all_of_a_data_set_without_splits_stands_for_any(
    tmp_path: Path, write: Callable[[Path], None], split: str
) -> None:
    write(tmp_path)
    dataset = open_split_or_all(tmp_path, split)
    assert [image.path.stem for image in dataset.images] == ["a", "b"]
    (note,) = dataset.notes
    assert note.endswith(f"has no splits: all of its 2 images stand for {split}")
    assert len(open_dataset(tmp_path)) == 2
    assert not open_split_or_all(tmp_path, None).notes


@pytest.mark.parametrize("write", [undivided_voc, undivided_yolo])
def test_a_split_that_is_asked_for_by_name_must_be_there(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    with pytest.raises(
        DatasetError, match=r"expected one split 'val' in .*, got (none; name no split to take all|all)"
    ):
        open_dataset(tmp_path, "val")


def test_a_data_set_with_splits_opens_the_one_that_is_meant(tmp_path: Path) -> None:
    write_text(write_yolo(tmp_path) / "classes.txt", "cat\ndog\n")
    assert sorted(list_splits(tmp_path)) == ["train", "val"]
    assert [image.path.stem for image in open_split_or_all(tmp_path, "validation").images] == ["b"]
    with pytest.raises(DatasetError, match=r"expected one split 'test' .* got train, val"):
        open_split_or_all(tmp_path, "test")


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("annotations/instances_val2017.json", ("val2017",)),
        ("annotations/train_annotations.json", ("train",)),
        ("annotations/pets_valid.json", ("valid",)),
        ("train/coco.json", ("train",)),
        ("valid/_annotations.coco.json", ("valid",)),
        ("result.json", ()),
        ("annotations/instances_default.json", ()),
    ],
)
def test_names_of_splits_in_coco(tmp_path: Path, name: str, splits: tuple[str, ...]) -> None:
    write_coco(tmp_path, name)
    assert list_splits(tmp_path) == splits
    assert list_splits(tmp_path / name) == splits


def test_a_named_coco_file_has_the_splits_of_those_beside_it(tmp_path: Path) -> None:
    path = write_coco(tmp_path, "annotations/instances_train2017.json")
    write_coco(tmp_path)
    assert sorted(list_splits(path)) == ["train2017", "val2017"]
    assert open_split_or_all(path, "val").split == "val"


def test_parts_of_other_names_are_no_splits_but_can_be_asked_for(tmp_path: Path) -> None:
    for stem, part in (("a", "day"), ("b", "night")):
        write_image(tmp_path / "images" / part / f"{stem}.png")
        write_text(tmp_path / "labels" / part / f"{stem}.txt", "0 .5 .5 .5 .5\n")
    write_text(tmp_path / "classes.txt", "cat\n")
    assert len(open_split_or_all(tmp_path, "train")) == 2
    assert [image.path.stem for image in open_split_or_all(tmp_path, "night").images] == ["b"]

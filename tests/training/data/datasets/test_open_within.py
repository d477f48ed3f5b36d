"""A data set that somebody else wrote may name no file outside its folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.data.datasets.folders import (
    coco_document,
    write_coco,
    write_image,
    write_text,
    write_voc,
    write_yolo,
)
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import open_dataset


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    write_text(tmp_path / "secret.txt", "0 .5 .5 .5 .5\n")
    write_image(tmp_path / "secret.png")
    return tmp_path


def test_an_honest_data_set_of_each_layout_opens(outside: Path) -> None:
    write_coco(outside / "coco")
    write_voc(outside / "voc")
    write_text(write_yolo(outside / "yolo") / "data.yaml", "train: images/train\nval: images/val\nnames: [cat, dog]\n")
    for name in ("coco", "voc", "yolo"):
        assert len(open_dataset(outside / name, within=outside / name)) == 2


@pytest.mark.parametrize("name", ["../../secret.png", "/secret.png"])
def test_coco_images(outside: Path, name: str) -> None:
    write_coco(outside / "set")
    images = [*coco_document()["images"], {"id": 9, "file_name": name, "width": 40, "height": 30}]
    path = write_text(outside / "set/annotations/instances_val2017.json", json.dumps(coco_document(images=images)))
    with pytest.raises(DatasetError, match=r"expected files inside the data set alone, got .*secret\.png"):
        open_dataset(path, within=outside / "set")


def test_names_in_a_voc_split(outside: Path) -> None:
    write_voc(outside / "set")
    write_text(outside / "set/ImageSets/Main/train.txt", "../../secret\n")
    with pytest.raises(DatasetError, match="inside the data set alone"):
        open_dataset(outside / "set", "train", within=outside / "set")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "path: ..\ntrain: set/images/train\nnames: [cat, dog]\n"),
        ("data.yaml", "train: /\nnames: [cat, dog]\n"),
        ("data.yaml", "train: list.txt\nnames: [cat, dog]\n"),
        ("data.yaml", "train: linked\nnames: [cat, dog]\n"),
        ("obj.data", "train = images/train\nnames = ../secret.txt\n"),
        ("obj.data", "train = ../secret.txt\nnames = classes.txt\n"),
    ],
)
def test_paths_in_descriptions_of_text_labels(outside: Path, name: str, text: str) -> None:
    root = write_yolo(outside / "set")
    write_text(root / "classes.txt", "cat\ndog\n")
    write_text(root / "list.txt", "../secret.png\n")
    write_image(outside / "elsewhere" / "c.png")
    (root / "linked").symlink_to(outside / "elsewhere")
    with pytest.raises(DatasetError, match="inside the data set alone"):
        open_dataset(write_text(root / name, text), within=root)


@pytest.mark.parametrize("there", ["here too", "gone"])
def test_an_absolute_path_is_another_machines_whether_this_one_has_it_or_not(outside: Path, there: str) -> None:
    """Who sends a zip learns nothing of the files here, and may send one that was made here."""
    root = write_yolo(outside / "job" / "set")
    home = outside / "set"
    write_text(root / "data.yaml", f"path: {home}\ntrain: {home}/images/train\nval: images/val\nnames: [cat, dog]\n")
    write_text(root / "labels.json", json.dumps(_absolute(home)))
    if there == "here too":
        write_yolo(home)
    for source in ("data.yaml", "labels.json"):
        dataset = open_dataset(root / source, within=root)
        assert [image.path.relative_to(root).name for image in dataset.images] == ["a.png", "b.png"]


def _absolute(home: Path) -> dict[str, Any]:
    places = {"a": "images/train/a.png", "b": "images/val/b.png"}
    images = [
        {"id": number, "file_name": str(home / place), "width": 40, "height": 30}
        for number, place in zip((70, 5), places.values(), strict=True)
    ]
    return coco_document(images=images)


def test_a_split_that_is_not_there_leads_nowhere(outside: Path) -> None:
    """Roboflow names all three splits, through the parent of a folder that holds them, whichever it wrote."""
    root = outside / "set"
    write_image(root / "train/images/a.png")
    write_text(root / "train/labels/a.txt", "0 .5 .5 .5 .5\n")
    text = "train: ../train/images\n{}test: ../test/images\nnames: [cat, dog]\n"
    write_text(root / "data.yaml", text.format(""))
    assert len(open_dataset(root, within=root)) == 1
    write_text(root / "data.yaml", text.format("val: ../valid/images\n"))
    assert len(open_dataset(root, "train", within=root)) == 1
    with pytest.raises(DatasetError, match=r"expected the images of val at .*name a split that is there: train"):
        open_dataset(root, within=root)

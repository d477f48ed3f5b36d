"""A data set that somebody else wrote may name no file outside its folder."""

import json
from pathlib import Path

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

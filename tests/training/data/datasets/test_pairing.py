from pathlib import Path

import pytest

from tests.training.data.datasets.folders import write_image, write_text, write_yolo
from yoloscope.training.data.audit import audit
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.data.datasets.pairing import NameIndex


def _files_of(path: Path, split: str | None = None) -> list[tuple[str, str]]:
    return [(problem.kind, problem.path.name) for problem in open_dataset(path, split).problems]


def test_label_files_without_an_image_are_named_in_their_split_and_harmless(tmp_path: Path) -> None:
    write_text(write_yolo(tmp_path) / "classes.txt", "cat\ndog\n")
    write_text(tmp_path / "images/train/c.heic", "a format that is not read")
    write_text(tmp_path / "labels/train/c.txt", "\n0 .5 .5 .5 .5\n")
    assert _files_of(tmp_path) == _files_of(tmp_path, "train") == [("unused_labels", "c.txt")]
    assert _files_of(tmp_path, "val") == []
    dataset = open_dataset(tmp_path)
    dataset.require_sound()
    assert [(finding.kind, finding.path.name) for finding in audit(dataset)] == [("unused_labels", "c.txt")]


@pytest.mark.parametrize("text", ["", "cat\n", "1\n2\n", "images/train/c.jpg\n", "notes of 5 words here\n", "\xff"])
def test_other_text_files_are_no_labels(tmp_path: Path, text: str) -> None:
    write_text(write_yolo(tmp_path) / "classes.txt", "cat\ndog\n")
    write_text(tmp_path / "labels/train/c.txt", text)
    assert _files_of(tmp_path) == []


def test_labels_beside_the_images(tmp_path: Path) -> None:
    write_image(tmp_path / "set" / "a.png")
    for stem in ("a", "b"):
        write_text(tmp_path / "set" / f"{stem}.txt", "0 .5 .5 .5 .5\n")
    write_text(tmp_path / "data.yaml", "train: set\nnames: [cat]\n")
    assert _files_of(tmp_path) == [("unused_labels", "b.txt")]


@pytest.mark.parametrize(
    ("label", "image"),
    [
        ("annots/a.xml", "images/a.jpg"),
        ("xmls/a.xml", "images/a.jpg"),
        ("Annotations/train/a.xml", "JPEGImages/train/a.jpg"),
        ("train/labels/a.txt", "train/images/a.jpg"),
        ("labels/val/a.txt", "images/val2017/a.jpg"),
        ("labels/first/a.txt", "images/first/a.jpg"),
        ("somewhere/else/a.txt", "pets/a.jpg"),
        ("a.xml", "images/a.jpg"),
    ],
)
def test_files_that_belong_together(tmp_path: Path, label: str, image: str) -> None:
    index = NameIndex([tmp_path / image, tmp_path / "images/second/b.jpg"], tmp_path)
    assert index.find(tmp_path / label) == tmp_path / image


def test_of_several_images_of_a_name_the_one_in_the_like_folder_belongs_to_a_label() -> None:
    index = NameIndex([Path(f"{split}/images/1.jpg") for split in ("train", "valid")], Path())
    assert index.find(Path("valid/labels/1.txt")) == Path("valid/images/1.jpg")
    assert index.find(Path("labels/val/1.txt")) == Path("valid/images/1.jpg")
    assert index.find(Path("labels/1.txt")) is None


def test_an_image_of_another_split_belongs_to_no_label() -> None:
    assert NameIndex([Path("val/1.jpg")], Path()).find(Path("train/1.txt")) is None


def test_masks_of_the_same_name_are_no_images_of_the_labels() -> None:
    index = NameIndex([Path("SegmentationClass/1.png"), Path("JPEGImages/1.jpg")], Path())
    assert index.find(Path("Annotations/1.xml")) == Path("JPEGImages/1.jpg")

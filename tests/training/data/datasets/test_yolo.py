from pathlib import Path

import numpy as np
import pytest

from tests.training.data.datasets.folders import write_image, write_text, write_yolo
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.audit import audit
from yoloscope.training.data.datasets import open_dataset

YAMLS = {
    "folders": "path: .\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n",
    "numbered names": "train: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n",
    "one level up": "train: ../images/train\nval: ../images/val\nnames: [cat, dog]\n",
    "names by texts": "train: images/train\nval: images/val\nnc: 2\nnames: {'1': dog, '0': cat}\n",
    "valid": "train: images/train\nvalid: images/val\nnames: [cat, dog]\n",
    "a byte order mark": "\ufeffnames: [cat, dog]\ntrain: images/train\nval: images/val\n",
    "lists": "train: train.txt\nval: [images/val]\nnames: [cat, dog]\n",
}


@pytest.mark.parametrize("text", YAMLS.values(), ids=YAMLS)
def test_a_data_yaml(tmp_path: Path, text: str) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "data.yaml", text)
    write_text(tmp_path / "train.txt", "./images/train/a.png\n")
    train, whole = open_dataset(tmp_path, "train"), open_dataset(tmp_path)
    assert train.class_names == ("cat", "dog")
    assert [image.path.name for image in open_dataset(tmp_path, "val").images] == ["b.png"]
    assert [image.path.name for image in train.images] == ["a.png"]
    np.testing.assert_allclose(train.images[0].labels.boxes_xyxy_px, [[4, 3, 12, 9], [20, 15, 40, 30]])
    assert [image.path.name for image in whole.images] == ["a.png", "b.png"]
    assert not whole.problems


def test_names_are_what_is_written(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "data.yaml", "train: images/train\ntest: null\nnames: [yes, no, null, 1.10]\n")
    assert open_dataset(tmp_path).class_names == ("yes", "no", "null", "1.10")


def test_a_test_split_that_is_not_there_is_a_harmless_problem_of_the_whole(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "data.yaml", "train: images/train\ntest: ../images/test\nnames: [cat, dog]\n")
    dataset = open_dataset(tmp_path)
    assert [image.path.name for image in dataset.images] == ["a.png"]
    assert [problem.kind for problem in dataset.problems] == ["missing_split"]
    dataset.require_sound()
    assert [finding.kind for finding in audit(dataset)] == ["missing_split"]
    with pytest.raises(DatasetError, match="expected a folder of images or a list of them"):
        open_dataset(tmp_path, "test")


@pytest.mark.parametrize("prefix", ["", "data/"])
def test_a_darknet_data_file(tmp_path: Path, prefix: str) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "data/obj.names", "cat\ndog\n")
    write_text(tmp_path / "data/train.txt", "images/train/a.png\n")
    write_text(tmp_path / "data/valid.txt", "images/val/b.png\n")
    description = (
        f"classes = 2\n# no = comment\ntrain = {prefix}train.txt\nvalid={prefix}valid.txt\nnames = {prefix}obj.names\n"
    )
    write_text(tmp_path / "data/obj.data", description)
    dataset = open_dataset(tmp_path / "data/obj.data", "valid")
    assert dataset.split == "val"
    assert dataset.images[0].labels.class_ids.tolist() == [1]


@pytest.mark.parametrize("names", ["classes.txt", "labels/classes.txt", "obj.names"])
def test_bare_folders_with_a_names_file(tmp_path: Path, names: str) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / names, "cat\ndog\n")
    assert [image.path.name for image in open_dataset(tmp_path, "val").images] == ["b.png"]
    assert len(open_dataset(tmp_path)) == 2


def test_images_labels_and_names_side_by_side(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_text(tmp_path / "classes.txt", "cat\n")
    with pytest.raises(DatasetError, match=r"got a\.png, classes\.txt"):
        open_dataset(tmp_path)
    write_text(tmp_path / "a.txt", "0 .5 .5 .5 .5\n")
    dataset = open_dataset(tmp_path)
    assert dataset.images[0].labels.boxes_xyxy_px.tolist() == [[10, 7.5, 30, 22.5]]
    assert (dataset.class_names, dataset.problems) == (("cat",), ())


def test_labels_beside_the_images(tmp_path: Path) -> None:
    write_image(tmp_path / "set" / "a.png")
    write_text(tmp_path / "set" / "a.txt", "0 .5 .5 .5 .5\n")
    write_text(tmp_path / "data.yaml", "train: set\nnames: [cat]\n")
    assert open_dataset(tmp_path).images[0].labels.boxes_xyxy_px.tolist() == [[10, 7.5, 30, 22.5]]


def test_a_missing_label_file_means_no_objects_and_is_harmless(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "classes.txt", "cat\ndog\n")
    (tmp_path / "labels/val/b.txt").unlink()
    dataset = open_dataset(tmp_path)
    assert [len(image.labels) for image in dataset.images] == [2, 0]
    assert [problem.kind for problem in dataset.problems] == ["missing_labels"]
    dataset.require_sound()


def test_a_data_set_without_any_label_file_is_refused(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "classes.txt", "cat\ndog\n")
    (tmp_path / "labels/val/b.txt").unlink()
    with pytest.raises(DatasetError, match=r"such as .*labels/val/b\.txt, got not one"):
        open_dataset(tmp_path, "val")


def test_a_line_that_is_no_label_is_a_problem(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "classes.txt", "cat\ndog\n")
    write_text(tmp_path / "labels/val/b.txt", "1 .5 .5 .5 .5\n1 .5 .5 .5\n")
    dataset = open_dataset(tmp_path, "val")
    assert len(dataset.images[0].labels) == 1
    assert [problem.pointer for problem in dataset.problems] == ["/lines/1"]
    with pytest.raises(DatasetError, match=r"b\.txt#/lines/1: expected 5 columns"):
        dataset.require_sound()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images/train\n", "expected the key 'names'"),
        ("names: [cat, cat]\ntrain: images/train\n", "each class name once .* got cat"),
        ("names: {0: cat, 2: dog}\ntrain: images/train\n", "numbered 0..1, got"),
        ("names: [cat]\n", "expected one of train, val, test"),
        ("names: [cat]\ntrain: nowhere\n", "expected a folder of images or a list of them at .*nowhere"),
        ("names: [cat]\ntrain: {a: b}\n", "expected a path or a list of paths"),
        ("names: [cat\n", "expected a YAML file"),
        ("names: [cat, dog]\nnc: 5\ntrain: images/train\n", "as many names as nc says in .*, 5, got 2"),
        ("names: [cat, [dog]]\ntrain: images/train\n", "expected a list of names"),
        ("names: [cat, dog]\ntest: nowhere\n", "expected a folder of images or a list of them at .*nowhere"),
        ("names: [cat]\ntrain: labels/train\n", "expected images for the data set .* got none in"),
    ],
)
def test_what_is_wrong_with_a_data_yaml_is_said(tmp_path: Path, text: str, message: str) -> None:
    write_yolo(tmp_path)
    with pytest.raises(DatasetError, match=message):
        open_dataset(write_text(tmp_path / "data.yaml", text))


def test_coco128_as_text_labels(data_dir: Path, tmp_path: Path) -> None:
    names = ", ".join(f"c{index}" for index in range(80))
    text = f"path: {data_dir / 'coco128'}\ntrain: images/train2017\nnames: [{names}]\n"
    dataset = open_dataset(write_text(tmp_path / "data.yaml", text), "train")
    assert (len(dataset), sum(dataset.objects_per_class)) == (128, 929)
    assert sum(len(image.labels) == 0 for image in dataset.images) == 2

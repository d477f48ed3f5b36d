import json
from pathlib import Path

import pytest

from tests.training.data.datasets.folders import coco_document, write_coco, write_image, write_text, write_yolo
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import open_dataset


def _beside_images(root: Path, *splits: str) -> Path:
    for split in splits:
        for name in ("a", "b"):
            write_image(root / split / f"{name}.png")
        write_text(root / split / "_annotations.coco.json", json.dumps(coco_document()))
    return root / splits[0] / "_annotations.coco.json"


def test_another_split_of_a_file_beside_its_images_is_in_the_folder_next_to_it(tmp_path: Path) -> None:
    path = _beside_images(tmp_path, "train", "valid")
    assert open_dataset(path, "train").source == path
    assert open_dataset(path, "val").source == tmp_path / "valid" / "_annotations.coco.json"
    assert open_dataset(path, "val").images[0].path == tmp_path / "valid" / "a.png"


def test_another_split_of_a_file_is_the_file_called_so(tmp_path: Path) -> None:
    train = write_coco(tmp_path, "annotations/instances_train2017.json")
    val = write_coco(tmp_path)
    assert open_dataset(train, "val").source == val
    assert open_dataset(val, "train").source == train
    assert open_dataset(train, "train").source == train


def test_a_split_that_is_not_there_is_refused_and_no_split_is_the_whole_file(tmp_path: Path) -> None:
    path = _beside_images(tmp_path, "train")
    with pytest.raises(DatasetError, match=r"expected one split 'val' .* got train; name no split to take"):
        open_dataset(path, "val")
    assert len(open_dataset(path)) == 2


def test_a_file_whose_name_tells_no_split_is_train_alone(tmp_path: Path) -> None:
    path = write_coco(tmp_path, "labels.json")
    assert open_dataset(path, "train").source == path
    with pytest.raises(DatasetError, match="got labels; "):
        open_dataset(path, "val")


def test_one_file_among_many_for_each_image_is_found(tmp_path: Path) -> None:
    path = write_coco(tmp_path, "annotations/instances_val2017.json")
    for number in range(60):
        write_text(path.parent / f"{number}.json", '{"shapes": []}')
    assert open_dataset(tmp_path).source == path


def test_json_of_something_else_is_no_description(tmp_path: Path) -> None:
    write_text(write_yolo(tmp_path) / "classes.txt", "cat\ndog\n")
    write_text(tmp_path / "count.json", '{"images": 3, "annotations": [], "note": "2 images"}')
    write_text(tmp_path / "index.json", '{"images": ["a.png", "b.png"]}')
    assert open_dataset(tmp_path, "val").layout == "yolo"

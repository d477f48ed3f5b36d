"""Every layout that docs/datasets.md shows opens by its folder."""

import json
import re
from pathlib import Path

import pytest

from tests.training.data.datasets.folders import BOXES, coco_document, voc_xml, write_image, write_text, yolo_lines
from yoloscope.training.data.datasets import list_splits, open_dataset

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "datasets.md"
LAYOUTS = [block.split() for block in re.findall(r"```text\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)]


def _write(path: Path, layout: list[str]) -> None:
    stem = path.stem
    if path.suffix == ".jpg":
        write_image(path)
    elif stem in BOXES:
        write_text(path, voc_xml(BOXES[stem]) if path.suffix == ".xml" else yolo_lines(BOXES[stem]))
    elif path.suffix == ".json":
        images = [
            {**image, "file_name": image["file_name"].replace("png", "jpg")} for image in coco_document()["images"]
        ]
        write_text(path, json.dumps(coco_document(images=images)))
    elif path.name == "data.yaml":
        write_text(path, "train: images/train\nval: images/val\nnames: [cat, dog]\n")
    elif path.name == "obj.data":
        write_text(path, "train = data/train.txt\nnames = data/obj.names\n")
    elif path.parent.name == "Main":
        write_text(path, {"train": "a\n", "val": "b\n"}[stem])
    elif path.name == "train.txt":
        write_text(path, "".join(f"data/{name}\n" for name in layout if name.endswith(".jpg")))
    else:
        write_text(path, "cat\ndog\n")


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout[0] for layout in LAYOUTS])
def test_a_documented_layout_opens_by_its_folder(tmp_path: Path, layout: list[str]) -> None:
    for name in layout:
        _write(tmp_path / name, layout)
    dataset = open_dataset(tmp_path)
    assert not dataset.problems
    assert dataset.class_names == ("cat", "dog")
    assert {image.path.stem: len(image.labels) for image in dataset.images} == {"a": 2, "b": 1}
    divided = any("val" in name for name in layout)
    assert ("val" in [split.replace("valid", "val") for split in list_splits(tmp_path)]) == divided
    if divided:
        assert [image.path.stem for image in open_dataset(tmp_path, "val").images] == ["b"]


def test_there_are_nine_layouts() -> None:
    assert len(LAYOUTS) == 9

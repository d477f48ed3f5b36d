"""Data sets as people check them in, made small: each opens by its folder alone, with the same images and boxes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.datasets.folders import (
    BOXES,
    coco_document,
    voc_xml,
    write_coco,
    write_image,
    write_text,
    write_voc,
    write_yolo,
    yolo_lines,
)
from yoloscope.training.data.datasets import list_splits, open_dataset

Box = tuple[int, int, int, int]


def voc_beside(root: Path, labels: str, images: str) -> None:
    for stem, objects in BOXES.items():
        write_image(root / images / f"{stem}.jpg")
        write_text(root / labels / f"{stem}.xml", voc_xml(objects))


def voc_raccoon(root: Path) -> None:
    """Write ``annotations`` beside ``images``, with the tables and settings of another trainer."""
    voc_beside(root, "annotations", "images")
    write_text(
        root / "data/raccoon_labels.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,40,30,cat,4,3,12,9\n"
    )
    write_text(root / "training/object-detection.pbtxt", "item { id: 1 name: 'cat' }\n")
    write_text(root / "README.md", "# Pets\n")


def voc_kangaroo(root: Path) -> None:
    voc_beside(root, "annots", "images")


def voc_one_folder(root: Path) -> None:
    voc_beside(root, ".", ".")


def voc_split_folders(root: Path) -> None:
    for stem, split in (("a", "train"), ("b", "valid")):
        write_image(root / split / f"{stem}.jpg")
        write_text(root / split / f"{stem}.xml", voc_xml(BOXES[stem]))


def voc_split_folders_inside(root: Path) -> None:
    for stem, split in (("a", "train"), ("b", "val")):
        write_image(root / "images" / split / f"{stem}.jpg")
        write_text(root / "xmls" / split / f"{stem}.xml", voc_xml(BOXES[stem]))


def yolo_yaml(root: Path) -> None:
    write_text(write_yolo(root) / "data.yaml", "train: images/train\nval: images/val\nnames: [cat, dog]\n")


def yolo_label_studio(root: Path) -> None:
    for stem, objects in BOXES.items():
        write_image(root / "images" / f"{stem}.png")
        write_text(root / "labels" / f"{stem}.txt", yolo_lines(objects))
    write_text(root / "classes.txt", "cat\ndog\n")
    write_text(root / "notes.json", json.dumps({"categories": [{"id": 0, "name": "cat"}], "info": {"year": 2024}}))


def yolo_cvat(root: Path) -> None:
    for stem, objects in BOXES.items():
        write_image(root / "obj_train_data" / f"{stem}.png")
        write_text(root / "obj_train_data" / f"{stem}.txt", yolo_lines(objects))
    write_text(root / "obj.names", "cat\ndog\n")
    write_text(root / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    write_text(root / "train.txt", "data/obj_train_data/a.png\ndata/obj_train_data/b.png\n")


def yolo_roboflow_darknet(root: Path) -> None:
    for stem, split in (("a", "train"), ("b", "valid")):
        write_image(root / split / f"{stem}.jpg")
        write_text(root / split / f"{stem}.txt", yolo_lines(BOXES[stem]))
        write_text(root / split / "_darknet.labels", "cat\ndog\n")


def yolo_other_folders(root: Path) -> None:
    for stem, objects in BOXES.items():
        write_image(root / "imgs" / f"{stem}.png")
        write_text(root / "annotations" / f"{stem}.txt", yolo_lines(objects))
    write_text(root / "classes.txt", "cat\ndog\n")


def yolo_colab(root: Path) -> None:
    write_yolo(root)
    text = "path: /content/drive/MyDrive/pets\ntrain: /content/drive/MyDrive/pets/images/train\nval: ../images/val\n"
    write_text(root / "data.yaml", f"{text}names: [cat, dog]\n")


def yolo_polygons(root: Path) -> None:
    for stem, objects in BOXES.items():
        write_image(root / "images" / f"{stem}.png")
        lines = (
            f"{['cat', 'dog'].index(name)} {x1 / 40} {(y1 + y2) / 60} {(x1 + x2) / 80} {y1 / 30} {x2 / 40} {y1 / 30} "
            f"{x2 / 40} {y2 / 30} {(x1 + x2) / 80} {y2 / 30}"
            for name, (x1, y1, x2, y2) in objects
        )
        write_text(root / "labels" / f"{stem}.txt", "\n".join(lines))
    write_text(root / "data.yaml", "train: images\nnames: [cat, dog]\n")


def _plain_coco() -> dict[str, object]:
    document = coco_document()
    for annotation in document["annotations"]:
        annotation.pop("iscrowd", None)
    return document


def coco_cvat(root: Path) -> None:
    for stem in BOXES:
        write_image(root / "images" / f"{stem}.png")
    write_text(root / "annotations/instances_default.json", json.dumps(_plain_coco()))


def coco_label_studio(root: Path) -> None:
    document = json.dumps(_plain_coco()).replace('"a.png"', '"images\\\\a.png"').replace('"b.png"', '"images\\\\b.png"')
    for stem in BOXES:
        write_image(root / "images" / f"{stem}.png")
    write_text(root / "result.json", document)


def coco_deep(root: Path) -> None:
    for stem in BOXES:
        write_image(root / "data" / "raw" / f"{stem}.png")
    write_text(root / "data" / "labels" / "coco.json", json.dumps(_plain_coco()))
    write_text(root / "README.md", "# Pets\n")


def coco_segmentation(root: Path) -> None:
    document = coco_document()
    for annotation in document["annotations"]:
        x, y, w, h = annotation.pop("bbox")
        annotation.pop("iscrowd", None)
        annotation["segmentation"] = [[x, y, x + w, y, x + w / 2, y + h]]
    write_coco(root, **document)


ARRANGEMENTS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "VOC as published": (write_voc, ("test", "train")),
    "VOC, annotations and images": (voc_raccoon, ()),
    "VOC, annots and images": (voc_kangaroo, ()),
    "VOC, XML beside images": (voc_one_folder, ()),
    "VOC, XML beside images by split": (voc_split_folders, ("train", "valid")),
    "VOC, splits inside images and xmls": (voc_split_folders_inside, ("train", "val")),
    "YOLO with data.yaml": (yolo_yaml, ("train", "val")),
    "YOLO with classes.txt": (yolo_label_studio, ()),
    "YOLO with obj.data": (yolo_cvat, ("train",)),
    "YOLO, text beside images by split": (yolo_roboflow_darknet, ("train", "valid")),
    "YOLO in folders of other names": (yolo_other_folders, ()),
    "YOLO with the paths of another machine": (yolo_colab, ("train", "val")),
    "YOLO polygons": (yolo_polygons, ("train",)),
    "COCO, annotations and images": (coco_cvat, ()),
    "COCO with backslashes": (coco_label_studio, ()),
    "COCO in inner folders": (coco_deep, ()),
    "COCO polygons without boxes": (coco_segmentation, ("val2017",)),
}


@pytest.mark.parametrize(("write", "splits"), ARRANGEMENTS.values(), ids=ARRANGEMENTS)
def test_a_data_set_opens_by_its_folder(
    tmp_path: Path, write: Callable[[Path], object], splits: tuple[str, ...]
) -> None:
    write(tmp_path)
    dataset = open_dataset(tmp_path)
    assert not dataset.problems
    assert dataset.class_names == ("cat", "dog")
    found = {
        image.path.stem: [
            (dataset.class_names[class_id], box)
            for class_id, box in zip(image.labels.class_ids, image.labels.boxes_xyxy_px, strict=True)
        ]
        for image in dataset.images
    }
    assert sorted(found) == ["a", "b"]
    for stem, objects in BOXES.items():
        assert [name for name, _ in found[stem]] == [name for name, _ in objects]
        np.testing.assert_allclose([box for _, box in found[stem]], [box for _, box in objects], atol=1e-9)
    assert all(image.read().shape == (30, 40, 3) for image in dataset.images)
    assert sorted(list_splits(tmp_path)) == sorted(splits)


@pytest.mark.parametrize("write", [voc_split_folders, voc_split_folders_inside, yolo_roboflow_darknet])
def test_folders_called_like_splits_are_splits(tmp_path: Path, write: Callable[[Path], object]) -> None:
    write(tmp_path)
    assert [image.path.stem for image in open_dataset(tmp_path, "train").images] == ["a"]
    assert [image.path.stem for image in open_dataset(tmp_path, "val").images] == ["b"]


@pytest.mark.parametrize(
    ("write", "note"),
    [
        (yolo_polygons, "3 polygons in "),
        (coco_segmentation, "3 polygons in "),
        (yolo_colab, "data.yaml has 2 paths of another machine, such as /content/drive/MyDrive/pets"),
    ],
)
def test_what_was_read_otherwise_than_written_is_one_note(
    tmp_path: Path, write: Callable[[Path], object], note: str
) -> None:
    write(tmp_path)
    (said,) = open_dataset(tmp_path).notes
    assert note in said


@pytest.mark.parametrize("write", [yolo_polygons, coco_segmentation])
def test_other_shapes_can_be_refused(tmp_path: Path, write: Callable[[Path], object]) -> None:
    write(tmp_path)
    dataset = open_dataset(tmp_path, shapes="refuse")
    assert [problem.kind for problem in dataset.problems] == ["unreadable_label"] * 3
    assert sum(len(image.labels) for image in dataset.images) == 0
    assert not dataset.notes

"""Builders of small data sets on disk: two images of 40x30 pixels, three objects of the classes cat and dog."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (40, 30)
BOXES = {"a": [("cat", (4, 3, 12, 9)), ("dog", (20, 15, 40, 30))], "b": [("dog", (0, 0, 8, 6))]}


def write_image(path: Path, size: tuple[int, int] = SIZE, orientation: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(size[0] * size[1] * 3).reshape(size[1], size[0], 3) % 251
    image = Image.fromarray(pixels.astype(np.uint8))
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def coco_document(**changes: Any) -> dict[str, Any]:
    document = {
        "images": [
            {"id": 70, "file_name": "a.png", "width": 40, "height": 30},
            {"id": 5, "file_name": "b.png", "width": 40, "height": 30},
        ],
        "annotations": [
            {"id": 1, "image_id": 70, "category_id": 3, "bbox": [4, 3, 8, 6], "area": 31.5},
            {"id": 2, "image_id": 5, "category_id": 9, "bbox": [0, 0, 8, 6], "area": 48},
            {"id": 3, "image_id": 70, "category_id": 9, "bbox": [20, 15, 20, 15], "iscrowd": 1},
        ],
        "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
    }
    return document | changes


def write_coco(root: Path, name: str = "annotations/instances_val2017.json", **changes: Any) -> Path:
    for stem in ("a", "b"):
        write_image(root / "val2017" / f"{stem}.png")
    return write_text(root / name, json.dumps(coco_document(**changes)))


def voc_xml(objects: list[tuple[str, tuple[int, int, int, int]]], size: tuple[int, int] = SIZE) -> str:
    rows = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for name, (x1, y1, x2, y2) in objects
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{rows}</annotation>"


def write_voc(root: Path) -> Path:
    for stem, objects in BOXES.items():
        write_image(root / "JPEGImages" / f"{stem}.jpg")
        write_text(root / "Annotations" / f"{stem}.xml", voc_xml(objects))
    write_text(root / "ImageSets/Main/train.txt", "a\n")
    write_text(root / "ImageSets/Main/test.txt", "b\n")
    return root


def yolo_lines(objects: list[tuple[str, tuple[int, int, int, int]]]) -> str:
    ids = {"cat": 0, "dog": 1}
    return "".join(
        f"{ids[name]} {(x1 + x2) / 80} {(y1 + y2) / 60} {(x2 - x1) / 40} {(y2 - y1) / 30}\n"
        for name, (x1, y1, x2, y2) in objects
    )


def write_yolo(root: Path) -> Path:
    """Write images a in images/train and b in images/val with their labels, and no description."""
    for stem, split in (("a", "train"), ("b", "val")):
        write_image(root / "images" / split / f"{stem}.png")
        write_text(root / "labels" / split / f"{stem}.txt", yolo_lines(BOXES[stem]))
    return root

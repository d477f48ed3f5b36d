"""Detections as label files: YOLO text, VOC XML, one COCO document or one CSV table; and crops of the objects."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

from yoloscope.app.commands.outputs import OutputFiles
from yoloscope.app.responses.drawing import encode_image
from yoloscope.app.services.inference import ImageDetections
from yoloscope.models.files import write_bytes, write_text
from yoloscope.models.images import DecodedImage

WrittenFormat = Literal["yolo", "voc", "coco", "csv"]
_CSV_HEAD = ("file", "class_id", "class_name", "score", "x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class _Object:
    class_id: int
    class_name: str
    score: float
    box_xyxy: tuple[float, float, float, float]


def objects_within(found: ImageDetections, class_names: Sequence[str]) -> list[_Object]:
    """Return the detections with their boxes cut at the borders of the image; those that lie outside are left out."""
    rows = found.detections
    limits = np.array([found.width, found.height] * 2, np.float64)
    boxes = np.clip(rows.boxes_xyxy.astype(np.float64), 0, limits).tolist()
    return [
        _Object(class_id, class_names[class_id], score, (x1, y1, x2, y2))
        for class_id, score, (x1, y1, x2, y2) in zip(rows.class_ids.tolist(), rows.scores.tolist(), boxes, strict=True)
        if x2 > x1 and y2 > y1
    ]


@dataclass
class LabelWriter:
    """Writes the detections of image after image into a folder that was empty."""

    folder: Path
    written_format: WrittenFormat
    class_names: Sequence[str]
    outputs: OutputFiles = field(default_factory=lambda: OutputFiles(()))
    rows: list[tuple[str, int, int, list[_Object]]] = field(default_factory=list)

    def add(self, name: str, stem: str, found: ImageDetections) -> None:
        """Write the labels of an image, or keep them for ``finish`` where one file holds all."""
        objects = objects_within(found, self.class_names)
        if self.written_format == "yolo":
            write_text(self.outputs.name_in(self.folder, stem, ".txt"), _yolo(objects, found))
        elif self.written_format == "voc":
            write_text(self.outputs.name_in(self.folder, stem, ".xml"), _voc(name, objects, found))
        else:
            self.rows.append((name, found.width, found.height, objects))

    def finish(self) -> None:
        """Write the file of all images, and for YOLO the names of the classes."""
        if self.written_format == "yolo":
            write_text(self.folder / "classes.txt", "".join(f"{name}\n" for name in self.class_names))
        elif self.written_format == "coco":
            write_text(self.folder / "instances.json", json.dumps(self._coco()))
        elif self.written_format == "csv":
            write_text(self.folder / "detections.csv", self._csv())

    def _coco(self) -> dict[str, Any]:
        images = [
            {"id": number, "file_name": Path(name).name, "width": width, "height": height}
            for number, (name, width, height, _) in enumerate(self.rows, start=1)
        ]
        annotations = [
            {
                "image_id": number,
                "category_id": item.class_id + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
                "score": item.score,
            }
            for number, (_, _, _, objects) in enumerate(self.rows, start=1)
            for item in objects
            for x1, y1, x2, y2 in (item.box_xyxy,)
        ]
        return {
            "images": images,
            "annotations": [{"id": number, **entry} for number, entry in enumerate(annotations, start=1)],
            "categories": [{"id": number, "name": name} for number, name in enumerate(self.class_names, start=1)],
        }

    def _csv(self) -> str:
        text = StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(_CSV_HEAD)
        for name, _, _, objects in self.rows:
            for item in objects:
                table.writerow((name, item.class_id, item.class_name, item.score, *item.box_xyxy))
        return text.getvalue()


@dataclass
class CropWriter:
    """Saves each object as an image of its own into a folder that was empty."""

    folder: Path
    class_names: Sequence[str]
    outputs: OutputFiles = field(default_factory=lambda: OutputFiles(()))

    def add(self, stem: str, image: DecodedImage, found: ImageDetections) -> None:
        """Save the objects of an image as ``STEM-CLASS.jpg``, ``STEM-CLASS-2.jpg``, ..."""
        for item in objects_within(found, self.class_names):
            x1, y1, x2, y2 = item.box_xyxy
            pixels = image.pixels[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))]
            class_part = re.sub(r"[^\w.-]+", "_", item.class_name)
            path = self.outputs.name_in(self.folder, f"{stem}-{class_part}", ".jpg")
            write_bytes(path, encode_image(Image.fromarray(pixels), "image/jpeg"))


def _yolo(objects: Sequence[_Object], found: ImageDetections) -> str:
    lines = []
    for item in objects:
        x1, y1, x2, y2 = item.box_xyxy
        values = (x1 + x2) / 2 / found.width, (y1 + y2) / 2 / found.height, (x2 - x1) / found.width
        lines.append(" ".join((str(item.class_id), *(f"{v:.6f}" for v in (*values, (y2 - y1) / found.height)))) + "\n")
    return "".join(lines)


def _voc(name: str, objects: Sequence[_Object], found: ImageDetections) -> str:
    """Return the XML; coordinates are edges in pixels, as labeling tools write and our reader takes them."""
    root = ET.Element("annotation")
    ET.SubElement(root, "filename").text = Path(name).name
    size = ET.SubElement(root, "size")
    for key, value in (("width", found.width), ("height", found.height), ("depth", 3)):
        ET.SubElement(size, key).text = str(value)
    for item in objects:
        entry = ET.SubElement(root, "object")
        ET.SubElement(entry, "name").text = item.class_name
        for key in ("difficult", "truncated"):
            ET.SubElement(entry, key).text = "0"
        box = ET.SubElement(entry, "bndbox")
        x1, y1, x2, y2 = item.box_xyxy
        for key, number in (("xmin", x1), ("ymin", y1), ("xmax", x2), ("ymax", y2)):
            ET.SubElement(box, key).text = f"{number:.2f}"
    ET.indent(root)
    return ET.tostring(root, "unicode") + "\n"

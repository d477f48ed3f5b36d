"""The edits that tests make in the data sets of ``folders.py``, and what is then expected."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from tests.training.diagnostics.reports import finding
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.diagnostics.findings import Finding
from yoloscope.training.diagnostics.image_names import image_name

Labels = Mapping[str, list[tuple[str, tuple[float, float, float, float]]]]

MENDED: Labels = {
    "a": [("dog", (4, 3, 12, 9)), ("dog", (19, 14, 39, 29))],
    "b": [("cat", (1, 2, 5, 8))],
}
"""Labels after ``edits_of``: in a the cat is a dog and the dog moved, in b the dog is deleted and a cat added."""


def edits_of(dataset: DetectionDataset, folder: Path) -> list[Finding]:
    """Findings on images a and b, whose labels are those of ``BOXES``."""
    names = {image.path.stem: image_name(image.path, folder) for image in dataset.images}
    return [
        finding("class", names["a"], 0, "cat", (4, 3, 12, 9), ("dog", (4, 3, 12, 9)), 0.9),
        finding("location", names["a"], 1, "dog", (20, 15, 40, 30), ("dog", (19, 14, 39, 29)), 0.8),
        finding("spurious", names["b"], 0, "dog", (0, 0, 8, 6), None, 0.7),
        finding("missing", names["b"], None, "cat", (1, 2, 5, 8), ("cat", (1, 2, 5, 8)), 0.6),
    ]


def labels_of(path: Path) -> Labels:
    """Labels by the stem of the image, with coordinates to a thousandth of a pixel."""
    return {
        image.path.stem: [(label.class_name, _rounded(label.box_xyxy_px)) for label in image.labels.objects]
        for image in open_dataset(path).images
    }


def _rounded(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    return round(x1, 3), round(y1, 3), round(x2, 3), round(y2, 3)


def bytes_below(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, links followed."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

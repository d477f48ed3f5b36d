"""Data sets of gray images and a model that sees one dog on each, shared by the tests of audits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from tests.app.constant_artifact import write_constant_artifact
from tests.app.scoring import YOLO_HEADS, make_spec, quiet_heads
from tests.training.diagnostics.painted import calibration_by_hand
from yoloscope.models.spec import DetectorSpec

PLACE = (8.0, 20.0, 40.0, 60.0)
"""Box of the one sure detection (a dog) on the network input of 64x64 px: coarse cell (1, 2), anchor 32x40."""


def audited_spec(name: str, **fields: Any) -> DetectorSpec:
    fields.setdefault("calibration", calibration_by_hand().model_dump(mode="json"))
    return make_spec(name, YOLO_HEADS, fields.pop("preset", "v4"), **fields)


def write_model(path: Path, spec: DetectorSpec) -> Path:
    """A model that sees one dog, wherever it looks."""
    heads = quiet_heads(spec)
    heads[1].reshape(1, 2, -1, 4, 4)[0, 0, [4, 6], 2, 1] = 6.0
    return write_constant_artifact(path, spec, heads)


def yolo_line(box: tuple[float, float, float, float], class_id: int, side: int = 64) -> str:
    x1, y1, x2, y2 = (value / side for value in box)
    return f"{class_id} {(x1 + x2) / 2} {(y1 + y2) / 2} {x2 - x1} {y2 - y1}\n"


def add_image(data: Path, name: str, lines: str, size: tuple[int, int] = (64, 64)) -> Path:
    for part in ("images", "labels"):
        (data / part).mkdir(parents=True, exist_ok=True)
    path = data / "images" / f"{name}.png"
    Image.new("RGB", size, (51, 51, 51)).save(path)
    (data / "labels" / f"{name}.txt").write_text(lines)
    return path


def write_data(folder: Path) -> Path:
    """Write a labeled dog, one without label, one labeled cat after a label without area, and a label on nothing."""
    add_image(folder, "good", yolo_line(PLACE, 1))
    add_image(folder, "missing", "")
    add_image(folder, "class", "2 .5 .5 0 .5\n" + yolo_line(PLACE, 0))
    add_image(folder, "spurious", yolo_line(PLACE, 1) + yolo_line((44, 2, 62, 14), 2))
    (folder / "classes.txt").write_text("cat\ndog\ntraffic light\n")
    return folder

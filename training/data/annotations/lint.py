"""Check labels for unknown classes, impossible boxes, duplicates and objects under a pixel; needs no model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.classes import UNKNOWN_CLASS
from yoloscope.models.errors import LabelProblem
from yoloscope.training.data.annotations.structures import ImageLabels, LabelFormat, LabelObject
from yoloscope.training.evaluation.matching import iou_matrix

LabelFault: TypeAlias = Literal[
    "unknown_class", "non_finite", "degenerate", "outside", "out_of_bounds", "identical", "duplicate", "tiny"
]
UNUSABLE: frozenset[LabelFault] = frozenset(("unknown_class", "non_finite", "degenerate", "outside"))
"""Faults of objects that can be neither learned nor detected."""
FAULTS: frozenset[LabelFault] = UNUSABLE | {"out_of_bounds"}
"""Faults under which a loss has no meaning; the others only cast doubt on a label."""

EDGE_TOLERANCE_PX = 1.0
"""Largest overhang of a box over the image's edge: rounding and the two VOC conventions account for a pixel."""
DUPLICATE_IOU = 0.95
_CHUNK = 512

_PARTS: dict[LabelFormat, tuple[str, str]] = {
    "yolo": ("", ""),
    "voc": ("/name", "/bndbox"),
    "coco": ("/category_id", "/bbox"),
    "native": ("", "/box"),
}
"""JSON pointers of class and box below that of their object, by format."""


@dataclass(frozen=True)
class LabelFinding:
    """One fault of the object at position ``index``."""

    kind: LabelFault
    index: int
    problem: LabelProblem


def lint(labels: ImageLabels, *, network_scale: tuple[float, float] | None = None) -> tuple[LabelFinding, ...]:
    """Return all findings, by object; ``network_scale`` (network pixels per image pixel, x and y) enables ``tiny``.

    ``duplicate`` (IoU above 0.95 with an earlier object of its class) and ``identical`` (the same box and class) name
    the earlier object. A crowd region is never a duplicate.
    """
    found = list(_judge_all(labels))
    found += _duplicates(labels, {finding.index for finding in found})
    if network_scale:
        found += _tiny(labels, network_scale, {finding.index for finding in found if finding.kind in FAULTS})
    return tuple(sorted(found, key=lambda finding: finding.index))


def find_faults(labels: ImageLabels) -> tuple[LabelProblem, ...]:
    """Return the problems that make labels unfit for a loss (``FAULTS``), in the order of the file."""
    return tuple(finding.problem for finding in _judge_all(labels))


def usable_rows(labels: ImageLabels) -> list[int]:
    """Return the positions of the objects that can be learned and detected (no fault of ``UNUSABLE``), in order."""
    bad = {finding.index for finding in _judge_all(labels) if finding.kind in UNUSABLE}
    return [index for index in range(len(labels)) if index not in bad]


def find_unusable(labels: ImageLabels) -> tuple[LabelFinding, ...]:
    """Return the faults of the objects that can be neither learned nor detected."""
    return tuple(finding for finding in _judge_all(labels) if finding.kind in UNUSABLE)


def _judge_all(labels: ImageLabels) -> Iterator[LabelFinding]:
    for index in np.flatnonzero(~_sound(labels)).tolist():
        yield from _judge(index, labels.objects[index], labels)


def _sound(labels: ImageLabels) -> NDArray[np.bool_]:
    """Return which objects have a known class and lie within their image, so that ``_judge`` finds nothing."""
    boxes = labels.boxes_xyxy_px
    low, high = boxes[:, :2], boxes[:, 2:]
    within: NDArray[np.bool_] = (low >= 0) & (high <= (labels.image_width, labels.image_height)) & (low < high)
    sound: NDArray[np.bool_] = within.all(1) & (labels.class_ids != UNKNOWN_CLASS)
    return sound


def _judge(index: int, label: LabelObject, labels: ImageLabels) -> Iterator[LabelFinding]:
    class_part, box_part = _PARTS[labels.label_format]
    if label.class_id == UNKNOWN_CLASS:
        detail = f"expected a class of the model, got {label.class_name[:60]!r}"
        yield LabelFinding("unknown_class", index, LabelProblem(label.pointer + class_part, detail))
    if verdict := _judge_box(label, labels):
        kind, expected = verdict
        got = ", ".join(f"{value:g}" for value in label.box_xyxy_px)
        detail = f"expected {expected}, got corners ({got})"
        yield LabelFinding(kind, index, LabelProblem(label.pointer + box_part, detail))


def _judge_box(label: LabelObject, labels: ImageLabels) -> tuple[LabelFault, str] | None:
    x1, y1, x2, y2 = label.box_xyxy_px
    width, height = labels.image_width, labels.image_height
    if not all(map(math.isfinite, label.box_xyxy_px)):
        return "non_finite", "finite numbers"
    if x2 <= x1 or y2 <= y1:
        return "degenerate", "a box of positive width and height"
    image = f"the image of {width}x{height} pixels"
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        unit = " (YOLO labels are fractions of it)" if labels.label_format == "yolo" else ""
        return "outside", f"a box in {image}{unit}"
    over = max(-x1, -y1, x2 - width, y2 - height)
    centered = 0 <= x1 + x2 <= 2 * width and 0 <= y1 + y2 <= 2 * height
    if over > EDGE_TOLERANCE_PX or not centered:
        return "out_of_bounds", f"a box within {image}, at most {EDGE_TOLERANCE_PX:g} pixel over its edge"
    return None


def _duplicates(labels: ImageLabels, faulty: set[int]) -> Iterator[LabelFinding]:
    rows = [i for i, label in enumerate(labels.objects) if i not in faulty and not label.crowd]
    boxes, classes = labels.boxes_xyxy_px[rows], labels.class_ids[rows]
    for start in range(0, len(rows), _CHUNK):
        later = slice(start, start + _CHUNK)
        others = boxes[: later.stop]
        overlap = iou_matrix(boxes[later], others, np.zeros(len(others), np.bool_))
        yield from _name_duplicates(labels, rows, start, _earlier_only(overlap, classes[later], classes[: later.stop]))


def _earlier_only(
    overlap: NDArray[np.float64], classes: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.float64]:
    start = len(others) - len(classes)
    earlier = np.arange(len(others)) < np.arange(start, len(others))[:, None]
    return np.where(earlier & (classes[:, None] == others), overlap, 0.0)


def _name_duplicates(
    labels: ImageLabels, rows: list[int], start: int, overlap: NDArray[np.float64]
) -> Iterator[LabelFinding]:
    for offset in np.flatnonzero((overlap > DUPLICATE_IOU).any(axis=1)).tolist():
        other = int(overlap[offset].argmax())
        index = rows[start + offset]
        label, twin = labels.objects[index], labels.objects[rows[other]]
        kind: LabelFault = "identical" if label.box_xyxy_px == twin.box_xyxy_px else "duplicate"
        detail = (
            f"expected each object once, got IoU {overlap[offset, other]:.3f} with {twin.pointer} of the same class"
        )
        yield LabelFinding(kind, index, LabelProblem(label.pointer, detail))


def _tiny(labels: ImageLabels, scale: tuple[float, float], faulty: set[int]) -> Iterator[LabelFinding]:
    for index, label in enumerate(labels.objects):
        x1, y1, x2, y2 = label.box_xyxy_px
        width, height = (x2 - x1) * scale[0], (y2 - y1) * scale[1]
        if index not in faulty and min(width, height) < 1:
            detail = f"expected at least 1x1 pixel on the network input, got {width:.3g}x{height:.3g}"
            yield LabelFinding("tiny", index, LabelProblem(label.pointer, detail))

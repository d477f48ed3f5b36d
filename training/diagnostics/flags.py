"""Flags of labels that need no prediction: impossible boxes, duplicates, anchors that fit nothing, collisions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from torch import Tensor

from yoloscope.models.spec import DetectorSpec
from yoloscope.training.assignment.grid import MatchStatus
from yoloscope.training.data.annotations import ImageLabels, LabelFault, lint
from yoloscope.training.diagnostics.findings import FlagKind, LabelFlag

ANCHOR_MISFIT_IOU: Final = 0.25
"""Below this overlap of shapes with the best anchor a box is hard to reach."""

_CONSEQUENCES: Final[Mapping[LabelFault, str]] = {
    "unknown_class": "The model has no such class, so it cannot learn this one.",
    "non_finite": "It has no place, so it is left out: the model cannot learn this one.",
    "degenerate": "It has no area, so it is left out: the model cannot learn this one.",
    "outside": "It lies outside the image, so it is left out: the model cannot learn this one.",
    "out_of_bounds": "A loss refuses it; training cuts it to the image.",
    "identical": "The object counts twice in the loss, and evaluation calls one of both missed.",
    "duplicate": "The object counts twice in the loss, and evaluation calls one of both missed.",
    "tiny": "It is under a pixel on the network input: the model cannot learn this one at this size.",
}


def find_flags(image: str, labels: ImageLabels, spec: DetectorSpec, scale: tuple[float, float]) -> list[LabelFlag]:
    """Return the faults of one image's labels, in their order; ``scale`` is network pixels per image pixel, x and y."""
    found = [
        _flag(image, labels, finding.index, finding.kind, finding.problem.detail, _CONSEQUENCES[finding.kind])
        for finding in lint(labels, network_scale=scale)
    ]
    faulty = {flag.label_index for flag in found}
    found += [flag for flag in _misfits(image, labels, spec, scale) if flag.label_index not in faulty]
    return sorted(found, key=lambda flag: flag.label_index)


def find_collisions(image: str, labels: ImageLabels, statuses: Tensor, index: list[int]) -> list[LabelFlag]:
    """Return the labels whose predictors are all assigned to other ones.

    ``statuses`` uint8 [n] are the ``MatchStatus`` of the labels at ``index`` of the image.
    """
    found = []
    for row, status in zip(index, statuses.tolist(), strict=True):
        if status == MatchStatus.COLLIDED:
            detail = "expected a predictor of its own, got one that is assigned to another label"
            consequence = "Two objects fall on one cell and anchor: the model cannot learn this one."
            found.append(_flag(image, labels, row, "collision", detail, consequence))
    return found


def _misfits(image: str, labels: ImageLabels, spec: DetectorSpec, scale: tuple[float, float]) -> Iterator[LabelFlag]:
    if not spec.anchors_px or not len(labels):
        return
    boxes = labels.boxes_xyxy_px
    sizes = (boxes[:, 2:] - boxes[:, :2]) * scale
    anchors = np.array(spec.anchors_px, dtype=np.float64)
    shared = np.minimum(sizes[:, None, 0], anchors[:, 0]) * np.minimum(sizes[:, None, 1], anchors[:, 1])
    with np.errstate(divide="ignore", invalid="ignore"):  # boxes without area, which are faulty anyway
        overlap = shared / (sizes.prod(1)[:, None] + anchors.prod(1) - shared)
    best = overlap.max(1)
    for row in np.flatnonzero(best < ANCHOR_MISFIT_IOU).tolist():
        if not labels.objects[row].crowd:
            width, height = sizes[row].tolist()
            detail = (
                f"expected a shape that overlaps an anchor by at least {ANCHOR_MISFIT_IOU:g}, got {best[row]:.2f} for "
                f"{width:.0f}x{height:.0f} network pixels"
            )
            consequence = "No anchor has nearly its shape: the model learns it badly; fit the anchors to the data."
            yield _flag(image, labels, row, "anchor_misfit", detail, consequence)


def _flag(image: str, labels: ImageLabels, index: int, kind: FlagKind, detail: str, consequence: str) -> LabelFlag:
    """Return a flag; a coordinate that is not finite, which JSON cannot hold, is 0 (``detail`` has it as it is)."""
    label = labels.objects[index]
    x1, y1, x2, y2 = (value if math.isfinite(value) else 0.0 for value in label.box_xyxy_px)
    return LabelFlag(image, kind, index, label.class_name, (x1, y1, x2, y2), detail, consequence)

"""One image with one object on the YOLOv2-VOC grid, and the same for YOLOv1, with raw predictions set by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from yoloscope.models.layout import OBJECTNESS, H, W
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import HeadGeometry, head_geometries
from yoloscope.training.losses.compute import compute_loss
from yoloscope.training.losses.presets.formula import FormulaPreset
from yoloscope.training.losses.report import LossReport

VOC_ANCHORS_CELLS = ((1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892), (9.47112, 4.84053), (11.2364, 10.0071))
GRID = 13
V1_GRID = 7
PERSON = 14


@dataclass(frozen=True)
class WorkedExample:
    """One image with its ground truth, and the raw head [1, ...] that a detector of ``spec`` answers with."""

    head: Tensor
    truth: GroundTruth
    spec: DetectorSpec

    @property
    def geometry(self) -> HeadGeometry:
        """Geometry of the one head."""
        return head_geometries((self.head,), self.spec)[0]

    @property
    def entries(self) -> Tensor:
        """Raw entries [A, 5+C, h, w] of a head with anchors."""
        return self.head.view(self.geometry.num_anchors, -1, *self.head.shape[2:])

    def report(self, preset: FormulaPreset) -> LossReport:
        """Return the loss in full detail."""
        return compute_loss((self.head,), self.truth, self.spec, preset, detail="cells")


def anchor_example() -> WorkedExample:
    """Return a person 5 by 8 cells large with the center in cell (6, 6), and five confident predictors around."""
    anchors = tuple((32 * w, 32 * h) for w, h in VOC_ANCHORS_CELLS)
    head_spec = HeadSpec(
        kind="region",
        grid_width=GRID,
        grid_height=GRID,
        anchor_indices=tuple(range(len(anchors))),
        class_activation="softmax",
    )
    spec = _spec("v2", 32 * GRID, head_spec, anchors)
    head = torch.zeros(spec.head_shape(0, 1), dtype=torch.float64)
    entries = head.view(5, 25, GRID, GRID)
    entries[:, OBJECTNESS] = -4.0
    _confident(entries, anchor=2, cell=(6, 6), extent=(4.6, 7.4))
    _confident(entries, anchor=1, cell=(6, 6), extent=(4.4, 7.8))
    _confident(entries, anchor=2, cell=(7, 6), extent=(5.0, 8.0))
    _confident(entries, anchor=0, cell=(7, 6), extent=(1.5, 2.0))
    _confident(entries, anchor=2, cell=(1, 1), extent=(5.0, 8.0))
    return WorkedExample(head, _person([6.6 / GRID, 6.45 / GRID, 5 / GRID, 8 / GRID]), spec)


def cell_example() -> WorkedExample:
    """Return YOLOv1's 7x7 cells of two boxes: a person with the center in cell (3, 3), found by its first box."""
    head_spec = HeadSpec(
        kind="detection", grid_width=V1_GRID, grid_height=V1_GRID, boxes_per_cell=2, class_activation="softmax"
    )
    spec = _spec("v1", 64 * V1_GRID, head_spec, ())
    layout = head_spec.detection_layout(20)
    head = torch.zeros(spec.head_shape(0, 1), dtype=torch.float64)
    cell = 3 * V1_GRID + 3
    head[0, layout.classes].view(-1, 20)[cell, PERSON] = math.log(19)
    confidences = head[0, layout.confidences].view(-1, 2)
    confidences[:] = -4.0
    confidences[cell] = head.new_tensor([_logit(0.8), _logit(0.3)])
    boxes = head[0, layout.boxes].view(-1, 2, 4)
    boxes[cell, 0] = head.new_tensor([_logit(0.5), _logit(0.6), _logit(0.36), _logit(0.49)])
    boxes[cell, 1] = head.new_tensor([_logit(0.5), _logit(0.5), _logit(0.1), _logit(0.1)])
    return WorkedExample(head, _person([3.4 / V1_GRID, 3.5 / V1_GRID, 0.4, 0.5]), spec)


def _spec(family: str, size: int, head: HeadSpec, anchors_px: tuple[tuple[float, float], ...]) -> DetectorSpec:
    return DetectorSpec(
        name="guide",
        family="v1" if family == "v1" else "v2",
        class_names=tuple(str(i) for i in range(20)),
        input_width=size,
        input_height=size,
        anchors_px=anchors_px,
        heads=(head,),
        loss=LossSpec(preset=family),
    )


def _person(box: list[float]) -> GroundTruth:
    boxes = torch.tensor([box], dtype=torch.float64)
    return GroundTruth(boxes, torch.tensor([PERSON]), torch.tensor([0]), 1)


def _confident(entries: Tensor, anchor: int, cell: tuple[int, int], extent: tuple[float, float]) -> None:
    """Set a predictor of objectness .8 whose box has an extent in cells and lies at the middle of its cell."""
    column, row = cell
    entries[anchor, OBJECTNESS, row, column] = _logit(0.8)
    entries[anchor, W, row, column] = math.log(extent[0] / VOC_ANCHORS_CELLS[anchor][0])
    entries[anchor, H, row, column] = math.log(extent[1] / VOC_ANCHORS_CELLS[anchor][1])


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))

"""Two questions about the loss of YOLOv2 that a forum thread leaves open, answered with numbers."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from yoloscope.models.layout import OBJECTNESS
from yoloscope.training.assignment.grid import Role
from yoloscope.training.assignment.ignore import max_iou, padded_boxes_xyxy
from yoloscope.training.explain.example import anchor_example
from yoloscope.training.explain.table import Cell, Table
from yoloscope.training.losses.decode import box_planes, decode_planes
from yoloscope.training.losses.presets.v2 import V2
from yoloscope.training.losses.presets.v4 import V4


def maxiou() -> Iterator[Table]:
    """Yield the answer to what 1[MaxIOU < Thresh] means: who pays for objectness without an object."""
    example = anchor_example()
    geometry = example.geometry
    planes = decode_planes(box_planes(example.head, geometry), geometry, "sigmoid", "exp")
    best, _ = max_iou(planes, padded_boxes_xyxy(example.truth, torch.float64))
    filtered = example.report(V2)
    unfiltered = example.report(V2.replace(ignore_threshold=None))
    rows: list[tuple[Cell, ...]] = []
    for column, row, anchor in ((6, 6, 1), (7, 6, 2), (7, 6, 0), (1, 1, 2)):
        at = (0, anchor, row, column)
        costs = [float(report.by_cell("no_objectness")[0][at]) for report in (filtered, unfiltered)]
        objectness = float(torch.sigmoid(example.entries[anchor, OBJECTNESS, row, column]))
        role = Role(int(filtered.assignment.roles[0][at])).name.lower()
        indicator = int(best[at] < 0.6)
        filled = f"{indicator} * {objectness:.4g}^2"
        rows.append((f"({column}, {row})", anchor, float(best[at]), role, filled, costs[0], costs[1]))
    roles = filtered.assignment.roles[0]
    counts = {role: int((roles == int(role)).sum()) for role in (Role.RESPONSIBLE, Role.IGNORED, Role.BACKGROUND)}
    yield Table(
        "Preset v2: what four confident predictors without an object pay for their objectness",
        ("cell", "anchor", "MaxIoU", "role", "filled in", "cost", "without filter"),
        tuple(rows),
        formula="1[MaxIoU < 0.6] * C^2",
        note="Of 845 predictors: " + ", ".join(f"{count} {role.name.lower()}" for role, count in counts.items()) + ".",
    )


def anchors() -> Iterator[Table]:
    """Yield the answer to what a cell's other anchors cost when one of them has the object."""
    example = anchor_example()
    for preset in (V2, V4):
        report = example.report(preset)
        names = [name for name in report.terms if name != "prior"]
        rows: list[tuple[Cell, ...]] = []
        for anchor in range(5):
            role = Role(int(report.assignment.roles[0][0, anchor, 6, 6])).name.lower()
            rows.append((anchor, role, *(float(report.by_cell(name)[0][0, anchor, 6, 6]) for name in names)))
        yield Table(
            f"Preset {preset.name}: costs in cell (6, 6), which has the object, by anchor",
            ("anchor", "role", *names),
            tuple(rows),
        )

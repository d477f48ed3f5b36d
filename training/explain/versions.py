"""The losses of YOLOv1 to v4: their constants, and each formula filled in for one object."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor

from yoloscope.models import boxes
from yoloscope.models.layout import CLASSES, OBJECTNESS, H, W, X
from yoloscope.training.assignment.grid import Role
from yoloscope.training.explain.example import GRID, PERSON, V1_GRID, WorkedExample, anchor_example, cell_example
from yoloscope.training.explain.table import Cell, Table, in_words, squared_error
from yoloscope.training.losses.decode import decode_center, decode_extent
from yoloscope.training.losses.presets.v1 import V1
from yoloscope.training.losses.presets.v2 import V2
from yoloscope.training.losses.presets.v3 import V3
from yoloscope.training.losses.presets.v4 import V4
from yoloscope.training.losses.report import LossReport

CELL = 6
"""Column and row of the object's cell on the grid with anchors."""


FORMULAS = {
    "v1": """5 [(x - x^)^2 + (y - y^)^2] + 5 [(sqrt w - sqrt w^)^2 + (sqrt h - sqrt h^)^2]
+ (C - IoU)^2 + 0.5 sum of C^2 + sum of (p - p^)^2""",
    "v2": """(2 - w^ h^) [(x - x^)^2 + (y - y^)^2 + (w - w^)^2 + (h - h^)^2]
+ 5 (C - IoU)^2 + sum of 1[MaxIoU < 0.6] C^2 + sum of (p - p^)^2""",
    "v3": """(2 - w^ h^) [(tx - tx^)^2 + (ty - ty^)^2 + (tw - tw^)^2 + (th - th^)^2]
- log C - sum of 1[MaxIoU < 0.5] log(1 - C) - log p - sum of log(1 - p)""",
    "v4": """5 (1 - CIoU) - log C - sum of 1[MaxIoU < 0.7] log(1 - C)
- log p - sum of log(1 - p)""",
}
"""Costs of one object and of the background; a hat marks the object."""


def constants() -> Iterator[Table]:
    """Yield the constants of the formula presets, and what darknet's box weight amounts to under autograd."""
    rows: list[tuple[Cell, ...]] = []
    for preset in (V1, V2, V3, V4):
        weights, boxed = preset.weights, preset.box_loss == "ciou"
        above = str(preset.match_threshold) if preset.match == "anchors_above" else None
        lambdas = (None, None, weights.box) if boxed else (weights.xy, weights.wh, None)
        others = (weights.objectness, weights.no_objectness, weights.classification)
        limits = (preset.ignore_threshold, preset.box_iou_gate)
        shown = [None if value is None else str(value) for value in (*limits, above, *lambdas, *others)]
        rows.append((preset.name, *shown))
    yield Table(
        "Constants of the presets; xy to class are the lambdas",
        ("preset", "ignore", "box gate", "anchors above", "xy", "wh", "box", "obj", "noobj", "class"),
        tuple(rows),
    )
    yield Table(
        "darknet's iou_normalizer of 0.07 at 608 pixels, as an autograd weight of x and y at t = 0",
        ("stride", "filled in", "weight"),
        tuple(
            (stride, f"0.07 * (608 / {stride}) / ({scale} * 0.25)", 0.07 * (608 / stride) / (scale * 0.25))
            for stride, scale in ((8, 1.2), (16, 1.1), (32, 1.05))
        ),
    )


def v1() -> Iterator[Table]:
    """Yield YOLOv1's loss of a person in cell (3, 3), term by term."""
    example = cell_example()
    report = example.report(V1)
    layout = example.spec.heads[0].detection_layout(20)
    cell = 3 * V1_GRID + 3
    x, y, w, h = example.head[0, layout.boxes].view(-1, 2, 4)[cell, 0].sigmoid().tolist()
    confidence, other = example.head[0, layout.confidences].view(-1, 2)[cell].sigmoid().tolist()
    empty = float(example.head[0, layout.confidences][0].sigmoid())
    classes = example.head[0, layout.classes].view(-1, 20)[cell].softmax(0)
    cx, cy, tw, th = _truth(example)
    (assigned,) = report.assignment.predictors_of(0)
    yield _filled(
        report,
        {
            "xy": f"5 * ({squared_error(x, cx * 7 - 3)} + {squared_error(y, cy * 7 - 3)})",
            "wh": f"5 * ({_roots(w, tw)} + {_roots(h, th)})",
            "objectness": f"1 * {squared_error(confidence, assigned.iou)}",
            "no_objectness": f"0.5 * ({other:.4g}^2 + {2 * V1_GRID**2 - 2} * {empty:.4g}^2)",
            "classification": _squared_classes(classes),
        },
        title="Preset v1: 7x7 cells of two boxes, a person in cell (3, 3), where the first box overlaps it more",
        note="IoU is that of the first box; the second pays as if it were in an empty cell.",
    )


def v2() -> Iterator[Table]:
    """Yield YOLOv2's loss of a person in cell (6, 6), term by term."""
    example = anchor_example()
    report = example.report(V2)
    x, y, w, h = _decoded(example, 2)
    cx, cy, tw, th = _truth(example)
    size = f"(2 - {tw:.4g} * {th:.4g})"
    (assigned,) = report.assignment.predictors_of(0)
    offsets = squared_error(x - CELL, cx * GRID - CELL), squared_error(y - CELL, cy * GRID - CELL)
    yield _filled(
        report,
        {
            "xy": f"1 * {size} * ({offsets[0]} + {offsets[1]})",
            "wh": f"1 * {size} * ({squared_error(w, tw)} + {squared_error(h, th)})",
            "objectness": f"5 * {squared_error(_objectness(example, 2), assigned.iou)}",
            "no_objectness": "1 * (" + _background(example, report, "{}^2") + ")",
            "classification": _squared_classes(example.entries[2, CLASSES:, CELL, CELL].softmax(0)),
        },
        title="Preset v2: 13x13 cells of five anchors, a person in cell (6, 6), assigned to anchor 2",
        note="x, y in cells; w, h as fractions of the image, as in 2 - w^ h^.",
    )


def v3() -> Iterator[Table]:
    """Yield YOLOv3's loss of the same person, term by term."""
    example = anchor_example()
    report = example.report(V3)
    raw = example.entries[2, X : H + 1, CELL, CELL].tolist()
    cx, cy, tw, th = _truth(example)
    anchor_w, anchor_h = (side / example.spec.input_width for side in example.spec.anchors_px[2])
    offsets = (cx * GRID - CELL, cy * GRID - CELL)
    centers = " + ".join(
        f"({in_words(t)} - log({o:.4g} / (1 - {o:.4g})))^2" for t, o in zip(raw[:2], offsets, strict=True)
    )
    extents = " + ".join(
        f"({in_words(t)} - log({side:.4g} / {anchor:.4g}))^2"
        for t, side, anchor in zip(raw[2:], (tw, th), (anchor_w, anchor_h), strict=True)
    )
    size = f"(2 - {tw:.4g} * {th:.4g})"
    yield _filled(
        report,
        {
            "xy": f"1 * {size} * ({centers})",
            "wh": f"1 * {size} * ({extents})",
            "objectness": f"-log({_objectness(example, 2):.4g})",
            "no_objectness": _background(example, report, "(-log(1 - {}))"),
            "classification": _entropy_classes(example.entries[2, CLASSES:, CELL, CELL]),
        },
        title="Preset v3: the same person; squared errors of the raw t, cross-entropy for the rest",
        note="t^ is what would decode to the object: logit(x^ - cell) and log(w^ / anchor).",
    )


def v4() -> Iterator[Table]:
    """Yield YOLOv4's loss of the same person, which four anchors serve."""
    example = anchor_example()
    report = example.report(V4)
    assigned = report.assignment.predictors_of(0)
    rows: list[tuple[Cell, ...]] = []
    for predictor in assigned:
        role = predictor.role.name.lower()
        box = float(report.by_cell("box")[0][0, predictor.anchor, CELL, CELL])
        rows.append((predictor.anchor, role, _ciou(example, predictor.anchor), box))
    yield Table(
        "Preset v4: the box term of the same person, by its anchors",
        ("anchor", "role", "filled in", "cost"),
        tuple(rows),
        formula="5 * (1 - IoU + d^2 / c^2 + alpha * v),  alpha = v / (1 - IoU + v)",
        note="d, the distance of the centers; c, the diagonal of what encloses both; v, of the aspects.",
    )
    seen = [f"log({_objectness(example, predictor.anchor):.4g})" for predictor in assigned]
    classes = _entropy_classes(example.entries[2, CLASSES:, CELL, CELL])
    yield _filled(
        report,
        {
            "box": " + ".join(f"{cost:.4g}" for *_, cost in rows if isinstance(cost, float)),
            "objectness": "-" + " - ".join(seen),
            "no_objectness": _background(example, report, "(-log(1 - {}))"),
            "classification": f"{len(assigned)} * ({classes})",
        },
        title="Preset v4: all terms",
    )


def terms() -> Iterator[Table]:
    """Yield the report of the example with anchors: raw and weighted terms, parts of the box, object, background."""
    example = anchor_example()
    for preset in (V2, V4):
        report = example.report(preset)
        rows: list[tuple[Cell, ...]] = [
            (name, float(term.raw), float(term.weighted)) for name, term in report.terms.items()
        ]
        rows += [(f"of the box: {name}", None, float(part.weighted)) for name, part in report.box_parts.items()]
        rows.append(("total", None, float(report.total.detach())))
        rows.append(("of it the object", None, float(report.by_object.total[0])))
        rows.append(("of it the background", None, float(report.by_object.background[0])))
        yield Table(f"Preset {preset.name}: the report", ("term", "raw", "weighted"), tuple(rows))


def _filled(report: LossReport, filled: dict[str, str], title: str, note: str = "") -> Table:
    """Return the terms of a version with their formulas filled in."""
    rows: list[tuple[Cell, ...]] = [
        (name, filled[name], float(term.weighted)) for name, term in report.terms.items() if name in filled
    ]
    rows.append(("total", "", float(report.total.detach())))
    return Table(title, ("term", "filled in", "weighted"), tuple(rows), FORMULAS[report.preset], note)


def _truth(example: WorkedExample) -> tuple[float, float, float, float]:
    x, y, w, h = example.truth.boxes_cxcywh_norm[0].tolist()
    return x, y, w, h


def _objectness(example: WorkedExample, anchor: int) -> float:
    return float(example.entries[anchor, OBJECTNESS, CELL, CELL].sigmoid())


def _decoded(example: WorkedExample, anchor: int) -> tuple[float, float, float, float]:
    """Return center in cells, width and height as fractions of the input, of a predictor of the object's cell."""
    raw = example.entries[anchor, :, CELL, CELL]
    x, y = (float(decode_center(raw[axis], float(CELL), 1.0, "sigmoid")) for axis in (X, X + 1))
    sides = zip((W, H), example.geometry.anchors_norm[anchor], strict=True)
    w, h = (float(decode_extent(raw[side], anchor_norm, "exp")) for side, anchor_norm in sides)
    return x, y, w, h


def _ciou(example: WorkedExample, anchor: int) -> str:
    x, y, w, h = _decoded(example, anchor)
    predicted = torch.tensor([[x / GRID, y / GRID, w, h]], dtype=torch.float64)
    truth = example.truth.boxes_cxcywh_norm
    corners = boxes.cxcywh_to_xyxy(predicted), boxes.cxcywh_to_xyxy(truth)
    iou = float(boxes.paired_iou(*corners))
    squared_distance = float((predicted[0, :2] - truth[0, :2]).square().sum())
    low, high = torch.minimum(corners[0], corners[1])[0, :2], torch.maximum(corners[0], corners[1])[0, 2:]
    squared_diagonal = float((high - low).square().sum())
    tw, th = truth[0, 2:].tolist()
    v = 4 / math.pi**2 * (math.atan2(tw, th) - math.atan2(w, h)) ** 2
    distance = f"{squared_distance:.3g} / {squared_diagonal:.3g}"
    return f"5 * (1 - {iou:.4g} + {distance} + {v:.3g}^2 / (1 - {iou:.4g} + {v:.3g}))"


def _background(example: WorkedExample, report: LossReport, cost: str) -> str:
    """Return the no-object sum, equal objectnesses counted: ``cost`` is its summand."""
    background = report.assignment.roles[0][0] == int(Role.BACKGROUND)
    found = Counter(round(value, 4) for value in example.entries[:, OBJECTNESS].sigmoid()[background].tolist())
    return " + ".join(f"{count} * {cost.format(f'{value:.4g}')}" for value, count in sorted(found.items()))


def _squared_classes(probabilities: Tensor) -> str:
    own, other = float(probabilities[PERSON]), float(probabilities[0])
    return f"{squared_error(own, 1)} + {len(probabilities) - 1} * {other:.4g}^2"


def _entropy_classes(raw: Tensor) -> str:
    own, other = float(raw[PERSON].sigmoid()), float(raw[0].sigmoid())
    return f"-log({own:.4g}) - {len(raw) - 1} * log(1 - {other:.4g})"


def _roots(predicted: float, target: float) -> str:
    return f"(sqrt({predicted:.4g}) - sqrt({target:.4g}))^2"

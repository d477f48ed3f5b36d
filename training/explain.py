"""Prints every number of docs/losses.md: ``python -m yoloscope.training.explain [SECTION ...]``."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from yoloscope.models.layout import OBJECTNESS, H, W
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import HeadGeometry, Role, head_geometries
from yoloscope.training.assignment.ignore import max_iou, padded_boxes_xyxy
from yoloscope.training.losses.compute import compute_loss
from yoloscope.training.losses.decode import box_planes, decode_planes
from yoloscope.training.losses.presets.formula import Preset
from yoloscope.training.losses.presets.v1 import V1
from yoloscope.training.losses.presets.v2 import V2
from yoloscope.training.losses.presets.v3 import V3
from yoloscope.training.losses.presets.v4 import V4
from yoloscope.training.losses.presets.walkthrough import (
    WalkthroughCells,
    WalkthroughTerms,
    walkthrough_iou,
    walkthrough_terms,
)
from yoloscope.training.losses.report import LossReport

VOC_ANCHORS_CELLS = ((1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892), (9.47112, 4.84053), (11.2364, 10.0071))
GRID = 13
CAT, CHAIR = 7, 8
TARGET = (0.4, 0.5, 2.4, 3.2)


@dataclass(frozen=True)
class Scene:
    """One image on the YOLOv2-VOC grid: a person 5 by 8 cells large, center in cell (6, 6), and raw predictions."""

    head: Tensor
    truth: GroundTruth
    spec: DetectorSpec


def walkthrough() -> Iterator[str]:
    """Yield the numbers that document 003 prints."""
    yield "overlap of two boxes of 200 x 200, shifted by 20, 100, 180 pixels"
    box = torch.tensor([0.0, 0.0, 200.0, 200.0])
    for shift in (20.0, 100.0, 180.0):
        yield f"  IoU {float(walkthrough_iou(box, torch.tensor([shift, shift, 200.0, 200.0]))):.4f}"
    yield "box loss of (x, y, w, h) against (0.4, 0.5, 2.4, 3.2)"
    for predicted in (TARGET, (0.4, 0.5, 2.8, 4.0), (0.3, 0.2, 3.2, 4.3)):
        terms = _cat(box=predicted)
        yield f"  {predicted}: {_short(terms.xy.sum() + terms.wh.sum())}"
    yield "object loss of a perfect box by its confidence"
    for confidence in (1.0, 0.9, 0.6):
        yield f"  {confidence}: {_short(_cat(confidence=confidence).objectness.sum())}"
    yield "class loss by the scores of cat and chair"
    for scores in ((1.0, 0.0), (0.9, 0.1), (0.2, 0.8)):
        yield f"  {scores}: {_short(_cat(scores=scores).classification.sum())}"
    yield "no-object loss of an empty cell by the confidences of its two boxes"
    for empty in ((0.0, 0.0), (0.2, 0.3)):
        yield f"  {empty}: {_short(_cat(empty=empty).no_objectness.sum())}"


def maxiou() -> Iterator[str]:
    """Yield the answer to what 1[MaxIOU < Thresh] means: who pays for objectness without an object."""
    scene = _scene()
    planes = decode_planes(box_planes(scene.head, _geometry(scene)), _geometry(scene), "sigmoid", "exp")
    best, _ = max_iou(planes, padded_boxes_xyxy(scene.truth, torch.float64))
    filtered = _report(scene, V2)
    unfiltered = _report(scene, V2.replace(ignore_threshold=None))
    yield "preset v2, threshold 0.6: what four confident predictors without an object pay for their objectness"
    yield "  cell    anchor  MaxIoU  objectness  role        with the filter  without it"
    for column, row, anchor in ((6, 6, 1), (7, 6, 2), (7, 6, 0), (1, 1, 2)):
        at = (0, anchor, row, column)
        costs = [float(report.by_cell("no_objectness")[0][at]) for report in (filtered, unfiltered)]
        objectness = float(torch.sigmoid(scene.head.view(1, 5, 25, GRID, GRID)[0, anchor, OBJECTNESS, row, column]))
        role = Role(int(filtered.assignment.roles[0][at])).name.lower()
        yield (
            f"  ({column}, {row})  {anchor:<6}  {float(best[at]):.3f}   {objectness:.2f}        {role:<10}"
            f"  {costs[0]:<15.4f}  {costs[1]:.4f}"
        )
    roles = filtered.assignment.roles[0]
    counts = {role: int((roles == int(role)).sum()) for role in (Role.RESPONSIBLE, Role.IGNORED, Role.BACKGROUND)}
    yield "  of 845 predictors: " + ", ".join(f"{count} {role.name.lower()}" for role, count in counts.items())


def anchors() -> Iterator[str]:
    """Yield the answer to what a cell's other anchors cost when one of them has the object."""
    scene = _scene()
    for preset in (V2, V4):
        report = _report(scene, preset)
        names = [name for name in report.terms if name != "prior"]
        yield f"preset {preset.name}: costs in cell (6, 6), which holds the object, anchor by anchor"
        yield "  anchor  role         " + "".join(f"{name:<16}" for name in names).rstrip()
        for anchor in range(5):
            role = Role(int(report.assignment.roles[0][0, anchor, 6, 6])).name.lower()
            costs = "".join(f"{float(report.by_cell(name)[0][0, anchor, 6, 6]):<16.4f}" for name in names)
            yield f"  {anchor:<6}  {role:<12} {costs.rstrip()}"


def terms() -> Iterator[str]:
    """Yield the account of the scene under the anchor-based formula presets."""
    scene = _scene()
    for preset in (V2, V4):
        report = _report(scene, preset)
        yield f"preset {preset.name}: total {float(report.total.detach()):.4f}"
        for name, term in report.terms.items():
            yield f"  {name:<16} raw {float(term.raw):10.4f}  weighted {float(term.weighted):10.4f}"
        for name, part in report.box_parts.items():
            yield f"    of the box: {name:<10} weighted {float(part.weighted):10.4f}"
        objects = report.by_object
        yield f"  the object {float(objects.total[0]):.4f}, the background {float(objects.background[0]):.4f}"


def constants() -> Iterator[str]:
    """Yield the constants of the formula presets, and what darknet's box weight amounts to under autograd."""
    yield "preset  ignore  box gate  anchors above  lambda: xy    wh    box   obj   noobj class"
    for preset in (V1, V2, V3, V4):
        above = preset.match_threshold if preset.match == "anchors_above" else "-"
        weights = preset.weights
        boxed = preset.box_loss == "ciou"
        lambdas = (
            *(("-", "-", weights.box) if boxed else (weights.xy, weights.wh, "-")),
            *(weights.objectness, weights.no_objectness, weights.classification),
        )
        ignore, gate = _or_dash(preset.ignore_threshold), _or_dash(preset.box_iou_gate)
        listed = "".join(f"{value!s:<6}" for value in lambdas).rstrip()
        yield f"{preset.name:<6}  {ignore:<6}  {gate:<8}  {above!s:<23}{listed}"
    yield "darknet's iou_normalizer of 0.07 at 608 pixels, as an autograd weight of x and y at t = 0"
    for stride, scale in ((8, 1.2), (16, 1.1), (32, 1.05)):
        yield f"  stride {stride:<2}  {0.07 * (608 / stride) / (scale * 0.25):.2f}"


SECTIONS: dict[str, Callable[[], Iterator[str]]] = {
    "constants": constants,
    "walkthrough": walkthrough,
    "maxiou": maxiou,
    "anchors": anchors,
    "terms": terms,
}


def main(arguments: list[str]) -> int:
    """Print the sections asked for, or all; return 2 for one that there is not."""
    unknown = [name for name in arguments if name not in SECTIONS]
    if unknown:
        sys.stderr.write(f"expected sections of {', '.join(SECTIONS)}, got {', '.join(unknown)}\n")
        return 2
    for name in arguments or SECTIONS:
        sys.stdout.write("\n".join(SECTIONS[name]()) + "\n")
    return 0


def _cat(
    box: tuple[float, ...] = TARGET,
    confidence: float = 0.0,
    scores: tuple[float, float] = (0.0, 0.0),
    empty: tuple[float, float] = (0.0, 0.0),
) -> WalkthroughTerms:
    """Document 003's image: a cat in cell (3, 3) of 7 x 7, and what is predicted there and in the empty (1, 1)."""
    boxes, confidences, classes = torch.zeros(1, 7, 7, 2, 4), torch.zeros(1, 7, 7, 2), torch.zeros(1, 7, 7, 20)
    boxes[0, 3, 3, 0] = torch.tensor(box)
    confidences[0, 3, 3, 0] = confidence
    confidences[0, 1, 1] = torch.tensor(empty)
    classes[0, 3, 3, CAT], classes[0, 3, 3, CHAIR] = scores
    target_boxes, target_classes, has_object = torch.zeros(1, 7, 7, 4), torch.zeros(1, 7, 7, 20), torch.zeros(1, 7, 7)
    target_boxes[0, 3, 3] = torch.tensor(TARGET)
    target_classes[0, 3, 3, CAT] = 1
    has_object[0, 3, 3] = 1
    return walkthrough_terms(WalkthroughCells(boxes, confidences, classes, target_boxes, target_classes, has_object))


def _scene() -> Scene:
    spec = DetectorSpec(
        name="guide",
        family="v2",
        class_names=tuple(str(i) for i in range(20)),
        input_width=32 * GRID,
        input_height=32 * GRID,
        anchors_px=tuple((32 * w, 32 * h) for w, h in VOC_ANCHORS_CELLS),
        heads=(
            HeadSpec(
                kind="region",
                grid_width=GRID,
                grid_height=GRID,
                anchor_indices=(0, 1, 2, 3, 4),
                class_activation="softmax",
            ),
        ),
        loss=LossSpec(preset="v2"),
    )
    head = torch.zeros(spec.head_shape(0, 1), dtype=torch.float64)
    entries = head.view(5, 25, GRID, GRID)
    entries[:, OBJECTNESS] = -4.0
    _confident(entries, anchor=2, cell=(6, 6), extent=(4.6, 7.4))
    _confident(entries, anchor=1, cell=(6, 6), extent=(4.4, 7.8))
    _confident(entries, anchor=2, cell=(7, 6), extent=(5.0, 8.0))
    _confident(entries, anchor=0, cell=(7, 6), extent=(1.5, 2.0))
    _confident(entries, anchor=2, cell=(1, 1), extent=(5.0, 8.0))
    box = torch.tensor([[6.6 / GRID, 6.45 / GRID, 5 / GRID, 8 / GRID]], dtype=torch.float64)
    truth = GroundTruth(box, torch.tensor([14]), torch.tensor([0]), 1)
    return Scene(head, truth, spec)


def _confident(entries: Tensor, anchor: int, cell: tuple[int, int], extent: tuple[float, float]) -> None:
    """Set a predictor of objectness .8 whose box has an extent in cells and lies at the middle of its cell."""
    column, row = cell
    entries[anchor, OBJECTNESS, row, column] = math.log(0.8 / 0.2)
    entries[anchor, W, row, column] = math.log(extent[0] / VOC_ANCHORS_CELLS[anchor][0])
    entries[anchor, H, row, column] = math.log(extent[1] / VOC_ANCHORS_CELLS[anchor][1])


def _report(scene: Scene, preset: Preset) -> LossReport:
    return compute_loss((scene.head,), scene.truth, scene.spec, preset, detail="cells")


def _geometry(scene: Scene) -> HeadGeometry:
    return head_geometries((scene.head,), scene.spec)[0]


def _or_dash(value: float | None) -> str:
    return "-" if value is None else str(value)


def _short(value: Tensor) -> str:
    number = float(value)
    return f"{number:.4e}" if 0 < number < 1e-4 else f"{number:.4f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

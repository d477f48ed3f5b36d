"""The numbers that the walkthrough prints, computed by the functions of the preset ``v1-walkthrough``."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from yoloscope.training.explain.table import Cell, Table, squared_error
from yoloscope.training.losses.presets.walkthrough import (
    WalkthroughCells,
    WalkthroughTerms,
    walkthrough_iou,
    walkthrough_root,
    walkthrough_terms,
)

CAT, CHAIR = 7, 8
TARGET = (0.4, 0.5, 2.4, 3.2)


def walkthrough() -> Iterator[Table]:
    """Yield the walkthrough's losses part by part, each number beside the text's."""
    yield _roots()
    yield _overlaps()
    yield _boxes()
    yield _objectness()
    yield _classes()
    yield _empty_cell()


def _roots() -> Table:
    rows: list[tuple[Cell, ...]] = []
    for target, predicted, printed in ((80.0, 140.0, 8.349), (240.0, 300.0, 3.345)):
        root = walkthrough_root(torch.tensor([target, predicted], dtype=torch.float64))
        filled = f"(sqrt({target:g}) - sqrt({predicted:g}))^2"
        rows.append((f"{target:g}, {predicted:g}", filled, float((root[0] - root[1]).square()), printed))
    return Table(
        "Heights that miss by 60 pixels, 75 % of a small object and 25 % of a large one",
        ("height, predicted", "filled in", "error", "text"),
        tuple(rows),
        formula="(sqrt(h) - sqrt(h'))^2",
        note="The text had a language model compute its two, which are off in the third digit.",
    )


def _overlaps() -> Table:
    box = torch.tensor([0.0, 0.0, 200.0, 200.0])
    rows: list[tuple[Cell, ...]] = []
    for shift, printed in ((20.0, 0.6807), (100.0, 0.1429), (180.0, 0.0050)):
        iou = float(walkthrough_iou(box, torch.tensor([shift, shift, 200.0, 200.0])))
        filled = f"{200 - shift:g}^2 / (2 * 200^2 - {200 - shift:g}^2 + 1e-6)"
        rows.append((f"{shift:g} px", filled, iou, printed))
    return Table(
        "Overlap of two boxes of 200x200, one shifted along both axes",
        ("shift", "filled in", "IoU", "text"),
        tuple(rows),
        formula="IoU = intersection / (union + 1e-6)",
    )


def _boxes() -> Table:
    cases = ((TARGET, 1.8474e-13), ((0.4, 0.5, 2.8, 4.0), 0.0600), ((0.3, 0.2, 3.2, 4.3), 0.2385))
    rows: list[tuple[Cell, ...]] = []
    for predicted, printed in cases:
        terms = _cat(box=predicted)
        centers = (squared_error(a, b) for a, b in zip(predicted[:2], TARGET[:2], strict=True))
        extents = (f"(sqrt({a:g} + 1e-6) - sqrt({b:g}))^2" for a, b in zip(predicted[2:], TARGET[2:], strict=True))
        filled = " + ".join((*centers, *extents))
        rows.append((_listed(predicted), filled, float(terms.xy.sum() + terms.wh.sum()), printed))
    return Table(
        "Box loss against x, y, w, h = 0.4, 0.5, 2.4, 3.2 (before lambda_coord = 5)",
        ("x', y', w', h'", "filled in", "loss", "text"),
        tuple(rows),
        formula="(x - x')^2 + (y - y')^2 + (sqrt(w) - sqrt(w'))^2 + (sqrt(h) - sqrt(h'))^2",
        note="In float32, as in the text: its 1e-6 keeps the first from being 0.",
    )


def _objectness() -> Table:
    area = f"{math.prod(TARGET[2:]):g}"
    rows: list[tuple[Cell, ...]] = []
    for confidence, printed in ((1.0, 1.4211e-14), (0.9, 0.0100), (0.6, 0.1600)):
        filled = f"({confidence:g} - {area} / ({area} + 1e-6))^2"
        rows.append((f"{confidence:g}", filled, float(_cat(confidence=confidence).objectness.sum()), printed))
    return Table(
        "Object loss of a perfect box, by its confidence",
        ("C", "filled in", "loss", "text"),
        tuple(rows),
        formula="(C - IoU)^2",
    )


def _classes() -> Table:
    rows: list[tuple[Cell, ...]] = []
    for (cat, chair), printed in (((1.0, 0.0), 0.0), ((0.9, 0.1), 0.02), ((0.2, 0.8), 1.28)):
        filled = f"{squared_error(cat, 1)} + {squared_error(chair, 0)}"
        rows.append((_listed((cat, chair)), filled, float(_cat(scores=(cat, chair)).classification.sum()), printed))
    return Table(
        "Class loss of a cat, by the scores of cat and chair",
        ("cat, chair", "filled in", "loss", "text"),
        tuple(rows),
        formula="sum over classes of (p - p')^2",
    )


def _empty_cell() -> Table:
    rows: list[tuple[Cell, ...]] = []
    for empty, printed in (((0.0, 0.0), 0.0), ((0.2, 0.3), 0.13)):
        filled = f"{empty[0]:g}^2 + {empty[1]:g}^2"
        rows.append((_listed(empty), filled, float(_cat(empty=empty).no_objectness.sum()), printed))
    return Table(
        "No-object loss of an empty cell, by the confidences of its two boxes (before lambda_noobj = 0.5)",
        ("C1, C2", "filled in", "loss", "text"),
        tuple(rows),
        formula="sum over boxes of C^2",
    )


def _cat(
    box: tuple[float, ...] = TARGET,
    confidence: float = 0.0,
    scores: tuple[float, float] = (0.0, 0.0),
    empty: tuple[float, float] = (0.0, 0.0),
) -> WalkthroughTerms:
    """Return the terms of the walkthrough's image: a cat in cell (3, 3) of 7x7, predictions there and in (1, 1)."""
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


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)

"""Every number that the walkthrough prints, to the digits printed there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training.losses.cases import spec_v1, truth_of
from yoloscope.models.layout import DetectionLayout
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses import LossReport, compute_loss
from yoloscope.training.losses.presets.walkthrough import (
    WalkthroughCells,
    WalkthroughTerms,
    walkthrough_iou,
    walkthrough_root,
)
from yoloscope.training.losses.presets.walkthrough import walkthrough_terms as terms_of

CAT, CHAIR = 7, 8
TARGET_BOX = (0.4, 0.5, 2.4, 3.2)


def four_digits(value: Tensor) -> str:
    """As torch prints a scalar of this size in the walkthrough."""
    number = float(value)
    return f"{number:.4e}" if 0 < number < 1e-4 else f"{number:.4f}"


def cells(
    box: tuple[float, ...] = TARGET_BOX,
    confidence: float = 0.0,
    classes: dict[int, float] | None = None,
    empty_cell: tuple[float, float] = (0.0, 0.0),
) -> WalkthroughTerms:
    """The walkthrough's tensors: one cat in cell (3, 3), predictions as its codeblocks 6 to 9 set them."""
    boxes = torch.zeros(1, 7, 7, 2, 4)
    boxes[0, 3, 3, 0] = torch.tensor(box)
    confidences = torch.zeros(1, 7, 7, 2)
    confidences[0, 3, 3, 0] = confidence
    confidences[0, 1, 1] = torch.tensor(empty_cell)
    scores = torch.zeros(1, 7, 7, 20)
    for index, value in (classes or {}).items():
        scores[0, 3, 3, index] = value
    target_boxes, target_classes, has_object = torch.zeros(1, 7, 7, 4), torch.zeros(1, 7, 7, 20), torch.zeros(1, 7, 7)
    target_boxes[0, 3, 3] = torch.tensor(TARGET_BOX)
    target_classes[0, 3, 3, CAT] = 1
    has_object[0, 3, 3] = 1
    return terms_of(WalkthroughCells(boxes, confidences, scores, target_boxes, target_classes, has_object))


@pytest.mark.parametrize(("shift", "printed"), [(20.0, "0.6807"), (100.0, "0.1429"), (180.0, "0.0050")])
def test_overlaps(shift: float, printed: str) -> None:
    target = torch.tensor([[0.0, 0.0, 200.0, 200.0]])
    predicted = torch.tensor([[shift, shift, 200.0, 200.0]])
    assert four_digits(walkthrough_iou(target, predicted)) == printed


@pytest.mark.parametrize(
    ("box", "printed"),
    [(TARGET_BOX, "1.8474e-13"), ((0.4, 0.5, 2.8, 4.0), "0.0600"), ((0.3, 0.2, 3.2, 4.3), "0.2385")],
)
def test_box_loss(box: tuple[float, ...], printed: str) -> None:
    terms = cells(box)
    assert four_digits(terms.xy.sum() + terms.wh.sum()) == printed


@pytest.mark.parametrize(("confidence", "printed"), [(1.0, "1.4211e-14"), (0.9, "0.0100"), (0.6, "0.1600")])
def test_object_loss(confidence: float, printed: str) -> None:
    assert four_digits(cells(confidence=confidence).objectness.sum()) == printed


@pytest.mark.parametrize(
    ("classes", "printed"),
    [({CAT: 1.0}, "0.0000"), ({CAT: 0.9, CHAIR: 0.1}, "0.0200"), ({CAT: 0.2, CHAIR: 0.8}, "1.2800")],
)
def test_class_loss(classes: dict[int, float], printed: str) -> None:
    assert four_digits(cells(classes=classes).classification.sum()) == printed


@pytest.mark.parametrize(("empty_cell", "printed"), [((0.0, 0.0), "0.0000"), ((0.2, 0.3), "0.1300")])
def test_no_object_loss(empty_cell: tuple[float, float], printed: str) -> None:
    assert four_digits(cells(empty_cell=empty_cell).no_objectness.sum()) == printed


def report_of(box: tuple[float, ...], confidence: float, classes: dict[int, float]) -> LossReport:
    """The same image through ``compute_loss``: a flat head, and the label as fractions of the image."""
    spec = spec_v1(side=7, boxes_per_cell=2, classes=20)
    layout = DetectionLayout(49, 2, 20)
    head = torch.zeros(1, layout.size)
    cell = 3 * 7 + 3
    for index, value in classes.items():
        head[0, layout.classes.start + cell * 20 + index] = value
    head[0, layout.confidences.start + cell * 2] = confidence
    first = layout.boxes.start + cell * 2 * 4
    head[0, first : first + 4] = torch.tensor(box)
    label = [(0, CAT, (3 + TARGET_BOX[0]) / 7, (3 + TARGET_BOX[1]) / 7, TARGET_BOX[2] / 7, TARGET_BOX[3] / 7)]
    return compute_loss((head,), truth_of(label, 1), spec, "v1-walkthrough", detail="objects")


def test_the_preset_is_the_documents_arithmetic() -> None:
    report = report_of((0.3, 0.2, 3.2, 4.3), 0.6, {CAT: 0.2, CHAIR: 0.8})
    terms = cells((0.3, 0.2, 3.2, 4.3), 0.6, {CAT: 0.2, CHAIR: 0.8})
    assert report.terms["xy"].raw.item() + report.terms["wh"].raw.item() == pytest.approx(0.2385, abs=5e-5)
    assert report.terms["classification"].raw.item() == pytest.approx(1.28, abs=1e-6)
    for name in ("xy", "wh", "objectness", "no_objectness", "classification"):
        assert report.terms[name].raw.item() == pytest.approx(float(getattr(terms, name).sum()), rel=1e-5, abs=1e-7)
    weighted = 5 * (report.terms["xy"].raw + report.terms["wh"].raw) + report.terms["objectness"].raw
    weighted = weighted + 0.5 * report.terms["no_objectness"].raw + report.terms["classification"].raw
    assert report.total.item() == pytest.approx(float(weighted), rel=1e-6)


def test_an_empty_image_pays_for_confidence_alone() -> None:
    spec = spec_v1(side=7, boxes_per_cell=2, classes=20)
    head = torch.full(spec.head_shape(0, 1), 0.5, requires_grad=True)
    report = compute_loss((head,), GroundTruth.empty(1), spec, "v1-walkthrough")
    assert report.total.item() == pytest.approx(0.5 * 98 * 0.25)
    torch.autograd.backward(report.total)
    assert head.grad is not None


@pytest.mark.parametrize("value", [0.0, -1e-6, 1e-6, -2.0, 3.0])
def test_the_root_has_a_finite_slope_everywhere(value: float) -> None:
    x = torch.tensor(value, requires_grad=True)
    torch.autograd.backward(walkthrough_root(x))
    assert x.grad is not None
    assert torch.isfinite(x.grad)

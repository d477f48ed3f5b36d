"""Box operations: hand-derived values, identities, empty input, gradients and a NumPy reference."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from yoloscope.models import boxes

PAIRED = (boxes.paired_iou, boxes.paired_giou, boxes.paired_diou, boxes.paired_ciou)
PAIRWISE = (boxes.pairwise_iou, boxes.pairwise_giou, boxes.pairwise_diou, boxes.pairwise_ciou)
Measure = Callable[[Tensor, Tensor], Tensor]


def _random_boxes(n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    return torch.cat((low, low + 0.05 + torch.rand(n, 2, generator=generator, dtype=torch.float64)), -1)


def _reference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float, float]:
    """IoU, GIoU, DIoU and CIoU of one pair, straight from the papers."""
    ix = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    iy = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    wa, ha, wb, hb = a[2] - a[0], a[3] - a[1], b[2] - b[0], b[3] - b[1]
    union = wa * ha + wb * hb - ix * iy
    iou = ix * iy / union
    cw, ch = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    giou = iou - (cw * ch - union) / (cw * ch)
    offset = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    diou = iou - offset / (cw**2 + ch**2)
    v = 4 / math.pi**2 * (math.atan(wb / hb) - math.atan(wa / ha)) ** 2
    return iou, giou, diou, diou - v / (1 - iou + v + 1e-7) * v


def test_conversions_by_hand_and_back() -> None:
    center = torch.tensor([[0.5, 0.5, 0.2, 0.4]])
    corner = torch.tensor([[0.4, 0.3, 0.6, 0.7]])
    torch.testing.assert_close(boxes.cxcywh_to_xyxy(center), corner)
    torch.testing.assert_close(boxes.xyxy_to_cxcywh(corner), center)
    assert center.tolist() == torch.tensor([[0.5, 0.5, 0.2, 0.4]]).tolist()


def test_iou_by_hand() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]])
    b = torch.tensor([[1.0, 1.0, 3.0, 3.0], [2.0, 2.0, 3.0, 3.0]])
    torch.testing.assert_close(boxes.paired_iou(a, b), torch.tensor([1 / 7, 0.0]))
    torch.testing.assert_close(boxes.paired_giou(a, b), torch.tensor([1 / 7 - 2 / 9, -7 / 9]))
    torch.testing.assert_close(boxes.paired_diou(a, b), torch.tensor([1 / 7 - 2 / 18, -8 / 18]))
    torch.testing.assert_close(boxes.paired_ciou(a, b), boxes.paired_diou(a, b))


@pytest.mark.parametrize("index", range(4))
def test_paired_and_pairwise_equal_the_papers(index: int) -> None:
    a, b = _random_boxes(60, 1), _random_boxes(60, 2)
    expected = np.array([_reference(x, y)[index] for x, y in zip(a.numpy(), b.numpy(), strict=True)])
    np.testing.assert_allclose(PAIRED[index](a, b).numpy(), expected, rtol=1e-9)
    matrix = PAIRWISE[index](a[:7], b)
    assert matrix.shape == (7, 60)
    np.testing.assert_allclose(matrix.diagonal().numpy(), expected[:7], rtol=1e-9)


@pytest.mark.parametrize("measure", PAIRED)
def test_identical_boxes_score_exactly_one(measure: Measure) -> None:
    a = _random_boxes(50, 3).float()
    assert torch.equal(measure(a, a), torch.ones(50))


@pytest.mark.parametrize(("paired", "pairwise"), list(zip(PAIRED, PAIRWISE, strict=True)))
def test_empty_input_gives_empty_output(paired: Measure, pairwise: Measure) -> None:
    none = torch.zeros(0, 4)
    assert paired(none, none).shape == (0,)
    assert pairwise(none, torch.zeros(3, 4)).shape == (0, 3)
    assert pairwise(torch.zeros(3, 4), none).shape == (3, 0)


@pytest.mark.parametrize("measure", PAIRED[:3])
def test_gradients_agree_with_finite_differences(measure: Measure) -> None:
    a, b = _random_boxes(6, 4).requires_grad_(), _random_boxes(6, 5).requires_grad_()
    assert torch.autograd.gradcheck(measure, (a, b))


def test_ciou_gradient_holds_alpha_constant() -> None:
    a, b = _random_boxes(6, 4).requires_grad_(), _random_boxes(6, 5)
    parts = boxes.paired_ciou_parts(a, b)
    (got,) = torch.autograd.grad(parts.aspect.sum(), a)
    extent_a, extent_b = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
    angle = torch.atan(extent_b[:, 0] / extent_b[:, 1]) - torch.atan(extent_a[:, 0] / extent_a[:, 1])
    v = 4 / math.pi**2 * angle.square()
    alpha = (v / ((1 - parts.iou) + v + boxes.ALPHA_EPS)).detach()
    (expected,) = torch.autograd.grad((alpha * v).sum(), a)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("measure", PAIRED)
@pytest.mark.parametrize("extent", [(0.0, 0.0), (0.0, 0.2), (0.2, 0.0), (1e-30, 1e-30), (-0.1, -0.1)])
def test_degenerate_boxes_have_finite_values_and_gradients(measure: Measure, extent: tuple[float, float]) -> None:
    predicted = torch.tensor([[0.5, 0.5, 0.5 + extent[0], 0.5 + extent[1]]], requires_grad=True)
    for target in ([0.3, 0.3, 0.7, 0.6], [0.5, 0.5, 0.5, 0.5], [0.9, 0.9, 0.9, 0.9]):
        value = measure(predicted, torch.tensor([target]))
        (gradient,) = torch.autograd.grad(value.sum(), predicted)
        assert torch.isfinite(value).all()
        assert torch.isfinite(gradient).all()


def test_a_box_without_area_overlaps_nothing() -> None:
    point = torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    assert boxes.area(point).item() == 0
    assert boxes.area(torch.tensor([0.6, 0.0, 0.5, 1.0])).item() == 0
    assert boxes.paired_iou(point, point).item() == 0
    assert boxes.paired_diou(point, point).item() == 0
    tall = torch.tensor([[0.4, 0.1, 0.6, 0.9]])
    assert boxes.paired_ciou_parts(point, tall).aspect.item() == 0
    assert boxes.paired_ciou_parts(tall, point).aspect.item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    a = torch.tensor([[0.0, 0.0, 512.0, 512.0]], dtype=dtype)
    b = torch.tensor([[0.0, 0.0, 512.0, 256.0]], dtype=dtype)
    value = boxes.paired_iou(a, b)
    assert value.dtype == torch.float32
    assert value.item() == 0.5


@pytest.mark.parametrize("measure", PAIRED)
def test_arguments_are_left_alone(measure: Measure) -> None:
    a, b = _random_boxes(5, 6), _random_boxes(5, 7)
    before = a.clone(), b.clone()
    measure(a, b)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])

"""What a student pays for answering otherwise than its teacher, against plain loops and by its limits."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.training.losses.cases import random_heads, spec_of, spec_v1, spec_v2, spec_v4
from tests.training.losses.reference import Box, ciou, sigmoid, softmax
from yoloscope.models.errors import NonFiniteLossError, SpecError
from yoloscope.models.spec import DetectorSpec, HeadSpec
from yoloscope.training.losses.distillation import DISTILLED, can_be_distilled, distillation_costs

BOX, OBJECTNESS, CLASSES = (DISTILLED.index(term) for term in ("box", "objectness", "classification"))


def with_new_coords(spec: DetectorSpec) -> DetectorSpec:
    heads = tuple(head.model_copy(update={"new_coords": True, "scale_xy": 2.0}) for head in spec.heads)
    return spec.model_copy(update={"heads": heads})


SPECS = {"v2": spec_v2(), "v3": spec_of("v3"), "v4": spec_v4(), "new_coords": with_new_coords(spec_v4())}


def kl(p: float, q: float) -> float:
    """The divergence of a coin of q from one of p."""
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def box_of(raw: NDArray[np.float64], head: HeadSpec, anchor: tuple[float, float], row: int, column: int) -> Box:
    """A decoded box, its anchor given as fractions."""
    x, y = sigmoid(raw[:2]) * head.scale_xy - (head.scale_xy - 1) / 2
    w, h = 4 * sigmoid(raw[2:4]) ** 2 if head.new_coords else np.exp(raw[2:4])
    return (column + x) / head.grid_width, (row + y) / head.grid_height, anchor[0] * w, anchor[1] * h


def by_loops(heads: tuple[Tensor, ...], taught: tuple[Tensor, ...], spec: DetectorSpec, weight: float) -> list[float]:
    """The three sums over all heads, per image."""
    sums = [0.0, 0.0, 0.0]
    for index, (head, teacher) in enumerate(zip(heads, taught, strict=True)):
        own, wanted = head.detach().numpy(), teacher.detach().numpy()
        batch, _, height, width = own.shape
        shape = (batch, spec.heads[index].num_anchors, 5 + spec.num_classes, height, width)
        own, wanted = own.reshape(shape), wanted.reshape(shape)
        for image, anchor, row, column in np.ndindex(batch, shape[1], height, width):
            s, t = own[image, anchor, :, row, column], wanted[image, anchor, :, row, column]
            px = spec.head_anchors_px(index)[anchor]
            size = px[0] / spec.input_width, px[1] / spec.input_height
            certainty = float(sigmoid(t[4]))
            boxes = [box_of(raw, spec.heads[index], size, row, column) for raw in (s, t)]
            sums[BOX] += certainty * weight * (1 - ciou(*boxes)) / batch
            sums[OBJECTNESS] += kl(certainty, float(sigmoid(s[4]))) / batch
            if spec.heads[index].class_activation == "softmax":
                p, q = softmax(t[5:]), softmax(s[5:])
                classes = float((p * np.log(p / q)).sum())
            else:
                classes = sum(kl(float(sigmoid(a)), float(sigmoid(b))) for a, b in zip(t[5:], s[5:], strict=True))
            sums[CLASSES] += certainty * classes / batch
    return sums


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_what_plain_loops_give(kind: str, seed: int) -> None:
    spec = SPECS[kind]
    heads, taught = random_heads(spec, 2, seed), random_heads(spec, 2, seed + 50)
    costs = distillation_costs(heads, taught, spec, box_weight=3.0)
    assert costs.shape == (len(spec.heads), 3)
    assert costs.sum(0).tolist() == pytest.approx(by_loops(heads, taught, spec, 3.0), rel=1e-9)


@pytest.mark.parametrize("kind", SPECS)
def test_a_student_that_answers_alike_pays_nothing_and_learns_nothing(kind: str) -> None:
    spec = SPECS[kind]
    heads = random_heads(spec, 2, 3)
    costs = distillation_costs(heads, [head.detach().clone() for head in heads], spec)
    torch.autograd.backward(costs.sum())
    assert costs.abs().max() < 1e-6
    for head in heads:
        assert head.grad is not None
        assert head.grad.abs().max() < 1e-6


@pytest.mark.parametrize("kind", SPECS)
def test_gradients_are_those_of_the_costs(kind: str) -> None:
    """Without boxes: CIoU holds a factor constant that is none."""
    spec = SPECS[kind]
    heads, taught = random_heads(spec, 1, 4), random_heads(spec, 1, 54)
    assert torch.autograd.gradcheck(lambda *own: distillation_costs(own, taught, spec, box_weight=0.0), heads)


def test_a_teacher_is_a_constant() -> None:
    heads, taught = random_heads(SPECS["v4"], 1, 5), random_heads(SPECS["v4"], 1, 55)
    torch.autograd.backward(distillation_costs(heads, taught, SPECS["v4"]).sum())
    assert all(head.grad is not None for head in heads)
    assert all(head.grad is None for head in taught)


def test_the_gradient_draws_boxes_to_the_teachers() -> None:
    spec = SPECS["v4"]
    heads, taught = random_heads(spec, 1, 6), random_heads(spec, 1, 56)
    optimizer = torch.optim.Adam(heads, lr=0.05)
    before = distillation_costs(heads, taught, spec).detach().sum(0)
    for _ in range(200):
        optimizer.zero_grad()
        torch.autograd.backward(distillation_costs(heads, taught, spec).sum())
        optimizer.step()
    after = distillation_costs(heads, taught, spec).detach().sum(0)
    assert (after < before / 20).all()


def test_background_of_the_teacher_teaches_no_box_and_no_class() -> None:
    spec = SPECS["v4"]
    heads, taught = random_heads(spec, 1, 7), [head.detach().clone() for head in random_heads(spec, 1, 57)]
    for teacher in taught:
        teacher.view(1, 3, 8, *teacher.shape[2:])[:, :, 4] = -60
    costs = distillation_costs(heads, taught, spec)
    assert costs[:, [BOX, CLASSES]].max() < 1e-20
    cells = [head.view(1, 3, 8, *head.shape[2:])[:, :, 4] for head in heads]
    softplus = [math.fsum(torch.log1p(cell.exp()).flatten().tolist()) for cell in cells]
    assert costs[:, OBJECTNESS].tolist() == pytest.approx(softplus)


def test_a_batch_costs_the_mean_of_its_images() -> None:
    spec = SPECS["v4"]
    heads, taught = random_heads(spec, 3, 8), random_heads(spec, 3, 58)
    alone = [distillation_costs([head[[i]] for head in heads], [head[[i]] for head in taught], spec) for i in range(3)]
    assert torch.allclose(distillation_costs(heads, taught, spec), torch.stack(alone).mean(0), rtol=1e-12)


def test_half_precision_and_channels_last_are_computed_in_float32() -> None:
    spec = SPECS["v4"]
    heads, taught = random_heads(spec, 2, 9), random_heads(spec, 2, 59)
    half = [head.detach().bfloat16().contiguous(memory_format=torch.channels_last) for head in heads]
    costs = distillation_costs(half, [head.float() for head in taught], spec)
    exact = distillation_costs([head.double() for head in half], taught, spec)
    assert costs.dtype == torch.float32
    assert torch.allclose(costs.double(), exact, rtol=1e-5)


def test_extreme_answers_stay_finite() -> None:
    spec = SPECS["v4"]
    heads = [(1e4 * head.detach()).float().requires_grad_() for head in random_heads(spec, 1, 10)]
    costs = distillation_costs(heads, [-head.detach() for head in heads], spec)
    torch.autograd.backward(costs.sum())
    assert all(bool(head.grad.isfinite().all()) for head in heads if head.grad is not None)


def test_what_is_not_finite_is_named() -> None:
    spec = SPECS["v4"]
    heads, taught = random_heads(spec, 2, 11), [head.detach().clone() for head in random_heads(spec, 2, 61)]
    taught[1][1, 4, 0, 0] = torch.nan
    with pytest.raises(NonFiniteLossError, match="image 1, distillation: term 'box' of head 1 is nan"):
        distillation_costs(heads, taught, spec)


def test_heads_of_another_shape_are_refused() -> None:
    with pytest.raises(SpecError, match="expected head 0"):
        distillation_costs(random_heads(spec_v4(), 1, 12), random_heads(spec_v4(classes=4), 1, 12), spec_v4())
    with pytest.raises(SpecError, match="for the same images"):
        distillation_costs(random_heads(spec_v4(), 2, 12), random_heads(spec_v4(), 1, 12), spec_v4())


def test_heads_that_cannot_be_distilled() -> None:
    assert all(can_be_distilled(head) for spec in SPECS.values() for head in spec.heads)
    plain = spec_v4().heads[0]
    others = [{"kind": "gaussian_yolo"}, {"activation": "none"}, {"class_activation": "tree"}]
    heads = [plain.model_copy(update=changes) for changes in others]
    assert not any(map(can_be_distilled, [*heads, *spec_v1().heads]))

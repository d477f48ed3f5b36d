"""The twenty pitfalls that YOLO losses are known for, one named test each; the loss stack's share of each."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.training.losses.cases import random_batch, spec_of, spec_v1, spec_v2, spec_v4, truth_of
from yoloscope.models import boxes
from yoloscope.models.errors import LabelError, NonFiniteLossError
from yoloscope.models.spec import DetectorSpec, LossSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import cells_of, head_geometries
from yoloscope.training.losses import PRESETS, FormulaPreset, LossReport, compute_loss
from yoloscope.training.losses.decode import decode_center
from yoloscope.training.losses.presets.v1 import signed_sqrt
from yoloscope.training.losses.presets.walkthrough import walkthrough_root
from yoloscope.training.losses.terms import center_logits

FORMULAS = ("v1", "v2", "v3", "v4")


def zeros(spec: DetectorSpec, batch_size: int = 1, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.zeros(spec.head_shape(i, batch_size), dtype=dtype).requires_grad_() for i in range(len(spec.heads))]


def gradients(report: LossReport, heads: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(report.total, heads))


@pytest.mark.parametrize("value", [0.0, -1e-6, -1e-12, 1e-12, -0.5])
def test_01_the_root_of_a_size_has_a_finite_gradient_at_zero_and_below(value: float) -> None:
    for root in (signed_sqrt, walkthrough_root):
        x = torch.tensor([value], requires_grad=True)
        torch.autograd.backward(root(x).sum())
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("size", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3)])
def test_02_ciou_of_a_prediction_without_extent_has_finite_loss_and_gradient(size: tuple[float, float]) -> None:
    raw = torch.tensor([[0.5, 0.5, *size]], requires_grad=True)
    target = boxes.cxcywh_to_xyxy(torch.tensor([[0.5, 0.5, 0.2, 0.3]]))
    loss = 1 - boxes.paired_ciou(boxes.cxcywh_to_xyxy(raw), target)
    torch.autograd.backward(loss.sum())
    assert raw.grad is not None
    assert torch.isfinite(loss).all()
    assert torch.isfinite(raw.grad).all()


def test_03_ciou_of_a_perfect_box_is_exactly_one() -> None:
    box = torch.tensor([[0.1, 0.2, 0.5, 0.9]], requires_grad=True)
    parts = boxes.paired_ciou_parts(box, box.detach())
    assert parts.aspect.item() == 0
    assert parts.iou.item() == 1
    (gradient,) = torch.autograd.grad((parts.iou - parts.distance - parts.aspect).sum(), box)
    assert torch.isfinite(gradient).all()


def test_04_alpha_is_a_constant_for_the_gradient() -> None:
    raw = torch.tensor([[0.1, 0.2, 0.6, 0.5]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[0.1, 0.1, 0.4, 0.9]], dtype=torch.float64)
    parts = boxes.paired_ciou_parts(raw, target)
    (through_aspect,) = torch.autograd.grad(parts.aspect.sum(), raw)
    w, h = (raw[:, 2] - raw[:, 0]).item(), (raw[:, 3] - raw[:, 1]).item()
    angle = math.atan(0.3 / 0.8) - math.atan(w / h)
    v = 4 / math.pi**2 * angle**2
    alpha = v / (1 - parts.iou.item() + v + boxes.ALPHA_EPS)
    by_width = alpha * 8 / math.pi**2 * angle * -h / (w**2 + h**2)
    assert through_aspect[0, 2].item() == pytest.approx(by_width, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_05_half_precision_heads_are_computed_in_float32(dtype: torch.dtype) -> None:
    batch = random_batch("v4", 6, dtype=torch.float32)
    half = [head.detach().to(dtype).requires_grad_() for head in batch.heads]
    single = [head.detach().float().requires_grad_() for head in half]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        report = compute_loss(half, batch.truth, batch.spec, "v4")
    expected = compute_loss(single, batch.truth, batch.spec, "v4")
    assert report.total.dtype == torch.float32
    assert report.total.item() == expected.total.item()
    for got, exact in zip(gradients(report, half), gradients(expected, single), strict=True):
        assert got.dtype == dtype
        torch.testing.assert_close(got.float(), exact, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("preset", FORMULAS)
def test_06_an_unbounded_extent_does_not_overflow(preset: str) -> None:
    batch = random_batch(preset, 6, dtype=torch.float32)
    heads = [(head.detach() * 0 + 200).requires_grad_() for head in batch.heads]
    report = compute_loss(heads, batch.truth, batch.spec, preset)
    assert torch.isfinite(report.total)
    assert all(torch.isfinite(g).all() for g in gradients(report, heads))


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_07_cross_entropy_is_taken_on_logits(logit: float) -> None:
    spec = spec_v4()
    heads = [(head.detach().float() + logit).requires_grad_() for head in zeros(spec)]
    truth = truth_of([(0, 0, 0.5, 0.5, 0.4, 0.4)], 1)
    report = compute_loss(heads, truth, spec, "v4")
    assert torch.isfinite(report.total)
    assert report.total.item() > 100
    assert any(g.abs().max() > 0.5 for g in gradients(report, heads))


COLLIDING = [(0, 0, 0.52, 0.52, 0.4, 0.5), (0, 2, 0.53, 0.52, 0.41, 0.5)]


def test_08_two_objects_on_one_predictor_follow_the_named_rule() -> None:
    spec = spec_v4()
    truth = truth_of(COLLIDING, 1)
    first_only, last_only = truth_of(COLLIDING[:1], 1), truth_of(COLLIDING[1:], 1)
    base = FormulaPreset(match="best_anchor", ignore_threshold=None)
    box = {
        rule: compute_loss(zeros(spec), truth, spec, base.replace(collision=rule)).terms["box"].weighted.item()
        for rule in ("first", "last", "accumulate", "mean")
    }
    alone = [compute_loss(zeros(spec), t, spec, base).terms["box"].weighted.item() for t in (first_only, last_only)]
    assert box["first"] == pytest.approx(alone[0])
    assert box["last"] == pytest.approx(alone[1])
    assert box["accumulate"] == pytest.approx(sum(alone))
    assert box["mean"] == pytest.approx(sum(alone) / 2)
    report = compute_loss(zeros(spec), truth, spec, base.replace(collision="last"), detail="objects")
    assert report.statuses.tolist() == [1, 0]


@pytest.mark.parametrize("preset", [name for name in PRESETS if not name.startswith("article")])
def test_09_a_center_at_exactly_one_belongs_to_the_last_cell(preset: str) -> None:
    spec = spec_of(preset)
    truth = truth_of([(0, 0, 1.0, 1.0, 0.4, 0.4)], 1)
    report = compute_loss(zeros(spec), truth, spec, preset, detail="objects")
    (first, *_) = report.assignment.predictors_of(0)
    geometry = head_geometries(zeros(spec), spec)[first.head]
    assert first.cell == (geometry.grid_width - 1, geometry.grid_height - 1)
    columns, rows = cells_of(torch.tensor([[0.0, 0.0, 0.1, 0.1]]), geometry)
    assert (int(columns), int(rows)) == (0, 0)


def test_10_a_center_on_a_cell_border_is_reachable_only_with_scale_xy() -> None:
    logit = torch.tensor(-math.log(11), dtype=torch.float64)
    assert decode_center(logit, 0.0, 1.2, "scaled").item() == pytest.approx(0.0, abs=1e-15)
    assert decode_center(torch.tensor(-30.0, dtype=torch.float64), 0.0, 1.2, "sigmoid").item() > 0
    assert center_logits(torch.tensor(0.0), 1.2).item() == pytest.approx(-math.log(11), rel=1e-6)
    assert center_logits(torch.tensor([0.0, 1.0]), 1.0).tolist() == [-8.0, 8.0]
    truth = truth_of([(0, 0, 1 / 3, 0.5, 0.2, 0.3)], 1)
    for family in ("v3", "v4"):
        spec = spec_v4(family=family)
        heads = zeros(spec)
        report = compute_loss(heads, truth, spec, family)
        assert torch.isfinite(report.total)
        assert all(torch.isfinite(g).all() for g in gradients(report, heads))


@pytest.mark.parametrize("preset", PRESETS)
def test_11_an_empty_batch_is_zero_on_the_graph_for_everything_but_background(preset: str) -> None:
    spec = spec_of(preset)
    heads = zeros(spec, 2)
    report = compute_loss(heads, GroundTruth.empty(2), spec, preset)
    assert all(torch.isfinite(g).all() for g in gradients(report, heads))
    paid = {name: term.weighted.item() for name, term in report.terms.items()}
    assert all(value == 0 for name, value in paid.items() if name != "no_objectness")


def test_11_a_batch_without_anything_to_pay_is_zero_and_still_on_the_graph() -> None:
    spec = spec_v1()
    heads = zeros(spec)
    report = compute_loss(heads, GroundTruth.empty(1), spec, "v1-darknet")
    assert report.total.item() == 0
    assert report.total.requires_grad
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients(report, heads))


def test_12_the_normalizer_is_the_number_of_images_and_is_reported() -> None:
    batch = random_batch("v4", 6, batch_size=4)
    report = compute_loss(batch.heads, batch.truth, batch.spec, "v4")
    summed = compute_loss(batch.heads, batch.truth, batch.spec, "v4", divisor=1.0)
    assert report.normalizer == "images"
    assert report.divisor == 4
    assert summed.total.item() == pytest.approx(4 * report.total.item(), rel=1e-12)


def test_13_the_objectness_target_is_what_the_preset_says() -> None:
    spec = spec_v2()
    truth = truth_of([(0, 0, 0.5, 0.5, 0.3, 0.4)], 1)
    by_target = {}
    for target in ("one", "iou"):
        chosen = PRESETS["v2"].replace(objectness_target=target)
        report = compute_loss(zeros(spec), truth, spec, chosen, detail="objects")
        by_target[target] = report.terms["objectness"].raw.item()
        iou = report.assignment.predictors_of(0)[0].iou
    assert by_target["one"] == pytest.approx((1 - 0.5) ** 2)
    assert by_target["iou"] == pytest.approx((iou - 0.5) ** 2)
    assert 0 < iou < 1


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(0.0, 0.0), (0.2, 0.0), (0.0, 0.2)])
def test_14_an_object_without_area_is_lost_and_costs_nothing(preset: str, size: tuple[float, float]) -> None:
    spec = spec_of(preset)
    truth = truth_of([(0, 1, 0.4, 0.4, *size)], 1)
    heads = zeros(spec)
    report = compute_loss(heads, truth, spec, preset, detail="objects")
    nothing = compute_loss(zeros(spec), GroundTruth.empty(1), spec, preset)
    assert report.total.item() == nothing.total.item()
    assert report.lost_objects() == [0]
    assert all(torch.isfinite(g).all() for g in gradients(report, heads))


@pytest.mark.parametrize("class_id", [-1, 3, 80])
def test_15_a_class_out_of_range_is_an_error_that_names_the_object(class_id: int) -> None:
    spec = spec_v4()
    truth = truth_of([(0, 0, 0.4, 0.4, 0.2, 0.2), (1, class_id, 0.4, 0.4, 0.2, 0.2)], 2)
    with pytest.raises(LabelError, match=rf"image 1, object 1: expected a class in 0\.\.2, got class {class_id} at"):
        compute_loss(zeros(spec, 2), truth, spec, "v4")


def test_16_anchors_belong_to_the_heads_that_the_spec_gives_them_to() -> None:
    spec = spec_v4()
    truth = truth_of([(0, 0, 0.5, 0.5, 12 / 96, 16 / 64)], 1)
    assigned = compute_loss(zeros(spec), truth, spec, PRESETS["v3"], detail="objects").assignment.predictors_of(0)
    assert [(s.head, s.anchor) for s in assigned] == [(0, 0)]
    swapped = [
        head.model_copy(update={"anchor_indices": mask})
        for head, mask in zip(spec.heads, ((3, 4, 5), (0, 1, 2)), strict=True)
    ]
    other = spec.model_copy(update={"heads": tuple(swapped)})
    assigned = compute_loss(zeros(other), truth, other, PRESETS["v3"], detail="objects").assignment.predictors_of(0)
    assert [(s.head, s.anchor) for s in assigned] == [(1, 0)]


def test_17_the_ignore_test_uses_decoded_predictions_and_has_no_gradient() -> None:
    spec = spec_v2(width=2, height=1)
    truth = truth_of([(0, 0, 0.75, 0.5, 45 / 64, 30 / 32)], 1)
    far, near = zeros(spec), zeros(spec)
    with torch.no_grad():
        near[0][0, 2, 0, 1] = math.log(45 / 20)
    reports = [compute_loss(heads, truth, spec, "v2", detail="objects") for heads in (far, near)]
    ignored = [bool(report.heads[0].assignment.ignored[0, 0, 0, 1]) for report in reports]
    assert ignored == [False, True]
    (gradient,) = gradients(reports[1], near)
    assert torch.equal(gradient[0, :8, 0, 1], torch.zeros(8, dtype=torch.float64))


def test_18_the_report_says_which_loss_and_normalizer_a_number_is_of() -> None:
    batch = random_batch("v4", 2)
    named = compute_loss(batch.heads, batch.truth, batch.spec, "v4")
    other = compute_loss(batch.heads, batch.truth, batch.spec, PRESETS["v4"].replace(name="mine", normalizer="cells"))
    assert (named.preset, named.normalizer) == ("v4", "images")
    assert (other.preset, other.normalizer) == ("mine", "cells")


@pytest.mark.parametrize("own", ["v2", "v3", "v4-darknet"])
def test_18_without_a_preset_the_loss_is_the_spec_s_own(own: str) -> None:
    batch = random_batch("v4", 2)
    overrides = {"label_smoothing": 0.1} if own == "v3" else {}
    spec = batch.spec.model_copy(update={"loss": LossSpec(preset=own, overrides=overrides)})
    report = compute_loss(batch.heads, batch.truth, spec)
    expected = PRESETS["v3"].replace(label_smoothing=0.1) if own == "v3" else own
    assert report.preset == own
    assert report.total.item() == compute_loss(batch.heads, batch.truth, batch.spec, expected).total.item()


def test_19_the_loss_keeps_no_state_between_calls() -> None:
    batch = random_batch("v2-darknet", 6)
    before = compute_loss(batch.heads, batch.truth, batch.spec, "v2-darknet", images_seen=0).total.item()
    for seen in (12_800, 0, 99, None):
        compute_loss(batch.heads, batch.truth, batch.spec, "v2-darknet", images_seen=seen)
    again = compute_loss(batch.heads, batch.truth, batch.spec, "v2-darknet", images_seen=0).total.item()
    assert again == before
    past = compute_loss(batch.heads, batch.truth, batch.spec, "v2-darknet").total.item()
    assert past != before


def test_20_totals_of_different_presets_differ_and_carry_name_and_version() -> None:
    batch = random_batch("v4", 6)
    ours = compute_loss(batch.heads, batch.truth, batch.spec, "v4")
    darknet = compute_loss(batch.heads, batch.truth, batch.spec, "v4-darknet")
    assert ours.total.item() != pytest.approx(darknet.total.item(), rel=0.01)
    assert {ours.preset, darknet.preset} == {"v4", "v4-darknet"}
    assert ours.version == darknet.version == 1


@pytest.mark.parametrize(
    ("entry", "term"), [(4, "no_objectness"), (2, "box"), (5, "classification")], ids=["objectness", "box", "class"]
)
def test_a_non_finite_loss_names_image_object_and_term(entry: int, term: str) -> None:
    spec = spec_v4()
    truth = truth_of([(0, 0, 0.1, 0.1, 0.1, 0.1), (1, 1, 0.5, 0.5, 40 / 96, 28 / 64)], 2)
    heads = zeros(spec, 2)
    with torch.no_grad():
        heads[0].view(2, 3, 8, 4, 6)[1, 2, entry, 2, 3] = math.nan
        if term == "no_objectness":
            heads[0].view(2, 3, 8, 4, 6)[1, 0, entry, 0, 5] = math.nan
            heads[0].view(2, 3, 8, 4, 6)[1, 2, entry, 2, 3] = 0
    where = r"no object \(cell column 5, row 0, anchor 0\)" if term == "no_objectness" else "object 1"
    with pytest.raises(NonFiniteLossError, match=rf"image 1, {where}: term '{term}' of head 0 is nan"):
        compute_loss(heads, truth, spec, "v4")

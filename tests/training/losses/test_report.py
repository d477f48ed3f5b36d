"""Every breakdown of a loss sums to the one number, and objects, roles and cells say who pays."""

from __future__ import annotations

import math

import pytest
import torch

from tests.training.losses.cases import random_batch, spec_v1, spec_v2, spec_v4, truth_of
from yoloscope.models.errors import LossError
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import MatchStatus, Role
from yoloscope.training.losses import PRESETS, LossReport, compute_loss

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def report_of(preset: str, seed: int, dtype: torch.dtype) -> LossReport:
    batch = random_batch(preset, seed, batch_size=3, dtype=dtype)
    return compute_loss(batch.heads, batch.truth, batch.spec, preset, detail="cells", images_seen=0)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("seed", [2, 6])
def test_every_marginal_sums_to_the_total(preset: str, dtype: torch.dtype, seed: int) -> None:
    report = report_of(preset, seed, dtype)
    expected = pytest.approx(report.total.item(), rel=TOLERANCE[dtype])
    assert sum(term.weighted.item() for term in report.terms.values()) == expected
    for marginal in (report.by_scale, report.by_image):
        assert marginal.total.sum().item() == expected
        assert sum(split.sum().item() for split in marginal.terms.values()) == expected
    objects = report.by_object
    assert (objects.total.sum() + objects.background.sum()).item() == expected
    by_term = [*objects.terms.values(), *objects.background_terms.values()]
    assert sum(split.sum().item() for split in by_term) == expected
    assert sum(plane.sum().item() for name in report.terms for plane in report.by_cell(name)) == expected


@pytest.mark.parametrize("preset", PRESETS)
def test_terms_agree_between_accounts(preset: str) -> None:
    report = report_of(preset, 6, torch.float64)
    for name, term in report.terms.items():
        expected = pytest.approx(term.weighted.item(), rel=1e-12, abs=1e-300)
        assert report.by_scale.terms[name].sum().item() == expected
        assert report.by_image.terms[name].sum().item() == expected
        assert sum(plane.sum().item() for plane in report.by_cell(name)) == expected
        split = report.by_object.terms[name].sum() + report.by_object.background_terms[name].sum()
        assert split.item() == expected


@pytest.mark.parametrize("preset", ["v1", "v2", "v3", "v4", "v4-darknet", "v1-walkthrough"])
def test_box_parts_sum_to_the_box_terms(preset: str) -> None:
    report = report_of(preset, 6, torch.float64)
    names = {"overlap", "distance", "aspect"} if preset == "v4" else {"centre", "size"}
    assert set(report.box_parts) == names
    whole = sum(report.terms[name].weighted.item() for name in ("xy", "wh", "box") if name in report.terms)
    assert sum(part.weighted.item() for part in report.box_parts.values()) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("preset", ["v4", "v4-darknet", "v3-darknet"])
def test_objects_on_one_predictor_share_its_cost(preset: str) -> None:
    spec = spec_v4()
    truth = truth_of([(0, 0, 0.52, 0.52, 0.4, 0.5), (0, 2, 0.53, 0.52, 0.4, 0.5)], 1)
    heads = [torch.zeros(spec.head_shape(i, 1), dtype=torch.float64) for i in range(2)]
    report = compute_loss(heads, truth, spec, preset, detail="objects")
    assert any(bool((head.positives.counts == 2).all()) for head in report.heads if len(head.positives))
    objects = report.by_object
    assert (objects.total.sum() + objects.background.sum()).item() == pytest.approx(report.total.item(), rel=1e-12)
    for name in ("objectness", "classification"):
        first, second = objects.terms[name].tolist()
        assert first == pytest.approx(second)
        assert first + second == pytest.approx(report.terms[name].weighted.item())


def test_weights_are_applied_once() -> None:
    batch = random_batch("v1", 2)
    report = compute_loss(batch.heads, batch.truth, batch.spec, "v1")
    assert report.terms["xy"].weighted.item() == pytest.approx(5 * report.terms["xy"].raw.item(), rel=1e-12)
    assert report.terms["no_objectness"].weighted.item() == pytest.approx(
        0.5 * report.terms["no_objectness"].raw.item(), rel=1e-12
    )


def test_only_the_total_is_on_the_graph() -> None:
    report = report_of("v4", 2, torch.float64)
    assert report.total.requires_grad
    assert not any(term.weighted.requires_grad for term in report.terms.values())
    assert not report.by_object.total.requires_grad
    assert not report.by_cell("box")[0].requires_grad


def test_detail_must_have_been_asked_for() -> None:
    batch = random_batch("v4", 2)
    report = compute_loss(batch.heads, batch.truth, batch.spec, "v4")
    with pytest.raises(LossError, match="expected a report of detail 'objects'"):
        _ = report.by_object
    with pytest.raises(LossError, match="'cells'"):
        report.by_cell("box")
    finest = compute_loss(batch.heads, batch.truth, batch.spec, "v4", detail="cells")
    with pytest.raises(LossError, match="expected a term of box, objectness"):
        finest.by_cell("xy")


def test_an_unknown_detail_is_refused() -> None:
    batch = random_batch("v4", 0)
    with pytest.raises(LossError, match="expected one of summary, objects, cells, got 'all'"):
        compute_loss(batch.heads, batch.truth, batch.spec, "v4", detail="all")  # type: ignore[arg-type] # the wrong value is the point


def test_roles_and_fates_by_hand() -> None:
    spec = spec_v4()
    heads = [torch.zeros(spec.head_shape(i, 1), dtype=torch.float64) for i in range(2)]
    heads[0][0, 4 + 8] = -9.0
    truth = truth_of([(0, 0, 0.5, 0.5, 40 / 96, 28 / 64), (0, 1, 0.0, 0.0, 0.0, 0.1)], 1)
    report = compute_loss(heads, truth, spec, "v4", detail="cells")
    assert report.statuses.tolist() == [MatchStatus.ASSIGNED, MatchStatus.LOST]
    assigned = report.assignment.predictors_of(0)
    assert [s.role for s in assigned if s.head == 0] == [Role.EXTRA, Role.RESPONSIBLE]
    second = assigned[1]
    assert (second.cell, second.anchor, second.stride) == ((3, 2), 2, (16, 16))
    assert second.anchor_iou == pytest.approx(1.0)
    roles = report.assignment.roles[0]
    assert [int(roles[0, a, 2, 3]) for a in (1, 2)] == [Role.EXTRA, Role.RESPONSIBLE]
    assert roles[0, 0, 0, 0].item() == 0
    assert float(report.by_object.total[1]) == 0
    assert report.lost_objects() == [1]


def test_a_predictor_that_sees_an_object_it_does_not_serve_is_ignored() -> None:
    spec = spec_v2(width=2, height=1)
    truth = truth_of([(0, 0, 0.75, 0.5, 45 / 64, 30 / 32)], 1)
    head = torch.zeros(spec.head_shape(0, 1), dtype=torch.float64)
    head[0, 2, 0, 1] = math.log(45 / 20)
    report = compute_loss((head,), truth, spec, "v2", detail="cells")
    roles = report.assignment.roles[0][0, :, 0, 1].tolist()
    assert roles == [Role.IGNORED, Role.RESPONSIBLE, Role.BACKGROUND]
    costs = report.by_cell("no_objectness")[0][0, :, 0, 1].tolist()
    assert costs == [0.0, 0.0, 0.25]


def test_a_user_may_ignore_boxes_of_a_v1_cell_that_see_its_object() -> None:
    spec = spec_v1()
    truth = truth_of([(0, 0, 0.5, 0.5, 0.3, 0.3)], 1)
    head = torch.zeros(spec.head_shape(0, 1), dtype=torch.float64)
    boxes = head[:, spec.heads[0].detection_layout(3).boxes].view(3, 3, 2, 4)
    boxes[1, 1, :, 2:] = torch.tensor([[0.3, 0.3], [0.31, 0.3]], dtype=torch.float64).logit()
    chosen = PRESETS["v1"].replace(ignore_threshold=0.9)
    report = compute_loss((head,), truth, spec, chosen, detail="cells")
    assert report.assignment.roles[0][0, :, 1, 1].tolist() == [Role.RESPONSIBLE, Role.IGNORED]
    assert report.by_cell("no_objectness")[0][0, :, 1, 1].tolist() == [0, 0]
    assert report.terms["no_objectness"].raw.item() == pytest.approx(16 * 0.25)


def test_the_second_object_of_a_v1_cell_collides() -> None:
    spec = spec_v1()
    truth = truth_of([(0, 0, 0.5, 0.5, 0.3, 0.3), (0, 1, 0.51, 0.5, 0.2, 0.3)], 1)
    head = torch.zeros(spec.head_shape(0, 1), dtype=torch.float64)
    for preset in ("v1", "v1-darknet", "v1-walkthrough"):
        report = compute_loss((head,), truth, spec, preset, detail="objects")
        assert report.statuses.tolist() == [MatchStatus.ASSIGNED, MatchStatus.COLLIDED]


def test_the_prior_pull_is_a_role_of_early_training() -> None:
    batch = random_batch("v2-darknet", 2)
    early = compute_loss(batch.heads, batch.truth, batch.spec, "v2-darknet", detail="objects", images_seen=12_799)
    late = compute_loss(batch.heads, batch.truth, batch.spec, "v2-darknet", detail="objects", images_seen=12_800)
    assert (early.assignment.roles[0] == int(Role.PRIOR)).any()
    assert not (late.assignment.roles[0] == int(Role.PRIOR)).any()
    assert "prior" in early.terms
    assert "prior" not in late.terms


def test_an_empty_image_has_no_objects_to_account_for() -> None:
    spec = spec_v4()
    heads = [torch.zeros(spec.head_shape(i, 2)) for i in range(2)]
    report = compute_loss(heads, GroundTruth.empty(2), spec, "v4", detail="cells")
    assert report.by_object.total.shape == (0,)
    assert report.by_object.background.shape == (2,)
    assert report.statuses.shape == (0,)

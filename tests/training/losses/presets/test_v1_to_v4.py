"""Each formula preset against its equations, and autograd against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training.losses.cases import random_batch
from tests.training.losses.grid_reference import article, v1_walkthrough
from tests.training.losses.reference import REFERENCES
from yoloscope.training.losses import PRESETS, FormulaPreset, compute_loss

FORMULAS = ("v1", "v2", "v3", "v4")


@pytest.mark.parametrize("preset", FORMULAS)
def test_the_value_is_that_of_the_equations(preset: str) -> None:
    for seed in range(200):
        batch = random_batch(preset, seed)
        got = compute_loss(batch.heads, batch.truth, batch.spec, preset).total.item()
        assert got == pytest.approx(REFERENCES[preset](batch), rel=1e-6), f"case {seed}"


def test_the_walkthrough_is_that_of_document_003() -> None:
    for seed in range(200):
        batch = random_batch("v1-walkthrough", seed)
        got = compute_loss(batch.heads, batch.truth, batch.spec, "v1-walkthrough").total.item()
        assert got == pytest.approx(v1_walkthrough(batch), rel=1e-6), f"case {seed}"


@pytest.mark.parametrize("variant", ["mse", "masked", "iou"])
def test_the_article_losses_are_those_of_document_001(variant: str) -> None:
    for seed in range(200):
        batch = random_batch("article", seed)
        got = compute_loss(batch.heads, batch.truth, batch.spec, f"article-{variant}").total.item()
        assert got == pytest.approx(article(batch, variant), rel=1e-6), f"case {seed}"


@pytest.mark.parametrize("preset", FORMULAS)
def test_the_cases_cover_what_the_formulas_tell_apart(preset: str) -> None:
    reports = [
        compute_loss(batch.heads, batch.truth, batch.spec, preset, detail="objects")
        for batch in (random_batch(preset, seed) for seed in range(200))
    ]
    statuses = torch.cat([report.statuses for report in reports])
    assert {0, 1} <= set(statuses.tolist()) or preset == "v4"
    if preset != "v1":
        assert any(bool((roles == 1).any()) for report in reports for roles in report.assignment.roles)
    assert any(report.num_objects == 0 for report in reports)
    if preset == "v4":
        assert any(bool((head.positives.counts > 1).any()) for report in reports for head in report.heads)


def _smooth(preset: str) -> FormulaPreset:
    """The preset with everything that autograd holds constant made constant."""
    chosen = PRESETS[preset]
    assert isinstance(chosen, FormulaPreset)
    changes = {"objectness_target": "one"}
    return chosen.replace(**changes, **({"box_loss": "diou"} if preset == "v4" else {}))


@pytest.mark.parametrize("preset", FORMULAS)
@pytest.mark.parametrize("seed", [0, 1, 6])
def test_autograd_agrees_with_finite_differences(preset: str, seed: int) -> None:
    batch = random_batch(preset, seed, batch_size=1, most=3)
    smooth = _smooth(preset)

    def total(*heads: Tensor) -> Tensor:
        return compute_loss(heads, batch.truth, batch.spec, smooth).total

    assert torch.autograd.gradcheck(total, batch.heads, fast_mode=True)


AXES: list[dict[str, object]] = [
    {"box_loss": "mse"},
    {"box_loss": "mse_sqrt"},
    {"box_loss": "mse_t"},
    {"box_loss": "bce_xy_sse_wh"},
    {"box_loss": "l1_t"},
    {"box_loss": "iou"},
    {"box_loss": "giou"},
    {"box_loss": "diou"},
    {"class_loss": "mse"},
    {"class_loss": "focal"},
    {"class_loss": "ce", "class_activation": "softmax", "label_smoothing": 0.1},
    {"label_smoothing": 0.1},
    {"objectness_loss": "mse"},
    {"objectness_loss": "focal"},
    {"decode_wh": "double_sigmoid"},
    {"match": "best_anchor"},
    {"match": "best_anchor_of_head"},
    {"match": "ratio", "match_threshold": 4.0},
    {"collision": "first"},
    {"collision": "last"},
    {"collision": "accumulate"},
    {"collision": "best_iou"},
    {"ignore_threshold": None},
    {"ignore_class_gate": 0.5},
    {"box_size_weight": True},
    {"scale_weights": (4.0, 0.4)},
    {"class_weights": (1.0, 2.0, 0.5)},
    {"normalizer": "positives"},
    {"normalizer": "cells"},
    {"normalizer": "none"},
    {"prior_images": 100},
]


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_every_axis_is_differentiated_rightly(axes: dict[str, object]) -> None:
    batch = random_batch("v4", 6, batch_size=1, most=3)
    smooth = _smooth("v4").replace(**axes)

    def total(*heads: Tensor) -> Tensor:
        return compute_loss(heads, batch.truth, batch.spec, smooth, images_seen=0).total

    assert torch.autograd.gradcheck(total, batch.heads, fast_mode=True)


def test_blended_and_smooth_objectness_targets() -> None:
    batch = random_batch("v4", 3)
    presets = {
        "one": FormulaPreset(),
        "zero blend": FormulaPreset(objectness_target="blend", objectness_blend=0.0),
        "full blend": FormulaPreset(objectness_target="blend", objectness_blend=1.0),
        "iou": FormulaPreset(objectness_target="iou"),
    }
    values = {
        name: compute_loss(batch.heads, batch.truth, batch.spec, preset).total.item()
        for name, preset in presets.items()
    }
    assert values["zero blend"] == pytest.approx(values["one"], rel=1e-12)
    assert values["full blend"] == pytest.approx(values["iou"], rel=1e-12)
    assert values["iou"] != pytest.approx(values["one"], rel=1e-6)


def test_max_delta_bounds_every_box_gradient() -> None:
    batch = random_batch("v4", 6)
    bounded = FormulaPreset(max_delta=1e-3)
    report = compute_loss(batch.heads, batch.truth, batch.spec, bounded, divisor=1.0)
    torch.autograd.backward(report.total)
    for head, geometry in zip(batch.heads, report.heads, strict=True):
        assert head.grad is not None
        entries = head.grad.view(head.shape[0], geometry.geometry.num_anchors, -1, *head.shape[2:])
        assert float(entries[:, :, :4].abs().max()) <= 1e-3 + 1e-12
        assert float(entries[:, :, 4:].abs().max()) > 1e-2
    assert sum(float(head.grad.abs().eq(1e-3).sum()) for head in batch.heads if head.grad is not None) > 0

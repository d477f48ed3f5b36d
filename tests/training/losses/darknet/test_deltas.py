"""The darknet presets beyond the dumped vectors: all options against plain loops, gradients, dialects and state."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.losses import darknet_reference
from tests.training.losses.cases import Batch, random_batch, random_truth, spec_v1, spec_v2, spec_v4, truth_of
from tests.training.losses.reference import objects_of
from yoloscope.models.spec import DetectorSpec, LossSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses import PRESETS, compute_loss
from yoloscope.training.losses.darknet.deltas import DarknetHeadState

YOLO_DEFAULTS: dict[str, Any] = {
    "ignore_thresh": 0.3,
    "truth_thresh": 1.0,
    "iou_thresh": 1.0,
    "iou_loss": "mse",
    "iou_normalizer": 0.75,
    "obj_normalizer": 1.0,
    "max_delta": None,
    "label_smooth_eps": 0.0,
    "focal_loss": 0,
    "objectness_smooth": 0,
}
REGION_DEFAULTS: dict[str, Any] = {
    "object_scale": 5.0,
    "noobject_scale": 1.0,
    "class_scale": 1.0,
    "coord_scale": 1.0,
    "thresh": 0.3,
    "bias_match": 1,
    "rescore": 1,
    "softmax": 1,
    "classfix": 0,
    "focal_loss": 0,
}
YOLO_OPTIONS: list[dict[str, Any]] = [
    {},
    {"iou_loss": "ciou", "iou_thresh": 0.213, "max_delta": 0.5},
    *({"iou_loss": kind, "iou_thresh": 0.1, "iou_normalizer": 0.07} for kind in ("iou", "giou", "diou", "ciou")),
    {"objectness_smooth": 1, "iou_thresh": 0.2, "obj_normalizer": 0.4},
    {"objectness_smooth": 1, "truth_thresh": 0.4, "iou_loss": "ciou"},
    {"truth_thresh": 0.3, "iou_thresh": 0.2},
    {"label_smooth_eps": 0.1, "iou_thresh": 0.2},
    {"focal_loss": 1},
    {"obj_normalizer": 4.0, "cls_normalizer": 0.5},
]
REGION_OPTIONS: list[dict[str, Any]] = [
    {},
    {"bias_match": 0},
    {"rescore": 0},
    {"softmax": 0},
    {"classfix": -1},
    {"classfix": 1, "class_scale": 2.0},
    {"classfix": 2, "thresh": 0.1},
    {"focal_loss": 1},
    {"object_scale": 2.0, "noobject_scale": 0.3, "coord_scale": 4.0},
]


def state_of(batch: Batch, preset: str, images_seen: int | None = None) -> tuple[DarknetHeadState, ...]:
    report = compute_loss(batch.heads, batch.truth, batch.spec, preset, images_seen=images_seen)
    assert report.darknet is not None
    return report.darknet.heads


def with_loss(spec: DetectorSpec, preset: str, overrides: dict[str, Any], **head: Any) -> DetectorSpec:
    heads = tuple(h.model_copy(update=head) for h in spec.heads)
    return spec.model_copy(update={"loss": LossSpec(preset=preset, overrides=overrides), "heads": heads})


@pytest.mark.parametrize("coordinates", ["exp", "new_coords"])
@pytest.mark.parametrize("options", YOLO_OPTIONS, ids=str)
def test_yolo_options_against_plain_loops(options: dict[str, Any], coordinates: str) -> None:
    new_coords = coordinates == "new_coords"
    chosen = {**YOLO_DEFAULTS, **options}
    for seed in (1, 3, 6, 12):
        batch = random_batch("v4-darknet", seed, batch_size=2, most=6)
        heads = batch.heads
        if new_coords:
            heads = tuple(head.detach().sigmoid().requires_grad_() for head in heads)
        activation = "none" if new_coords else "sigmoid"
        spec = with_loss(batch.spec, "v4-darknet", chosen, new_coords=new_coords, activation=activation)
        states = state_of(Batch(heads, batch.truth, spec), "v4-darknet")
        anchors = [(w / spec.input_width, h / spec.input_height) for w, h in spec.anchors_px]
        for head, geometry, state in zip(heads, spec.heads, states, strict=True):
            raw = head.detach().numpy().reshape(2, 3, -1, geometry.grid_height, geometry.grid_width)
            layers = [
                darknet_reference.yolo(
                    darknet_reference.Layer(
                        raw[image].copy(),
                        objects,
                        anchors,
                        geometry.anchor_indices,
                        chosen,
                        geometry.scale_xy,
                        new_coords,
                    )
                )
                for image, objects in enumerate(objects_of(batch))
            ]
            expected = np.stack([layer.delta for layer in layers]).reshape(head.shape)
            np.testing.assert_allclose(state.delta.numpy(), expected, rtol=1e-7, atol=1e-9)
            assert state.total_bbox == sum(layer.total for layer in layers)
            assert state.rewritten_bbox == sum(layer.rewritten for layer in layers)


@pytest.mark.parametrize("seen", [0, 12_800])
@pytest.mark.parametrize("options", REGION_OPTIONS, ids=str)
def test_region_options_against_plain_loops(options: dict[str, Any], seen: int) -> None:
    chosen = {**REGION_DEFAULTS, **options}
    for seed in (1, 3, 6, 12):
        batch = random_batch("v2-darknet", seed, batch_size=2, most=6)
        head = batch.heads[0].detach()
        if not chosen["softmax"]:
            head = head.sigmoid()
        spec = with_loss(batch.spec, "v2-darknet", chosen)
        (state,) = state_of(Batch((head.requires_grad_(),), batch.truth, spec), "v2-darknet", images_seen=seen)
        anchors = [(w / spec.input_width, h / spec.input_height) for w, h in spec.anchors_px]
        raw = head.detach().numpy().reshape(2, 3, -1, 3, 4)
        expected = [
            darknet_reference.region(
                darknet_reference.Layer(raw[image].copy(), objects, anchors, (0, 1, 2), chosen), seen
            ).delta
            for image, objects in enumerate(objects_of(batch))
        ]
        np.testing.assert_allclose(state.delta.numpy(), np.stack(expected).reshape(head.shape), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name.endswith(("darknet", "pjreddie"))])
def test_the_gradient_of_the_total_is_minus_delta_over_the_images(preset: str) -> None:
    batch = random_batch(preset, 6, batch_size=3)
    report = compute_loss(batch.heads, batch.truth, batch.spec, preset)
    gradients = torch.autograd.grad(report.total, batch.heads)
    assert report.darknet is not None
    for gradient, state in zip(gradients, report.darknet.heads, strict=True):
        torch.testing.assert_close(gradient, -state.delta / 3, rtol=1e-12, atol=0)
    squares = sum(float(state.delta.square().sum()) for state in report.darknet.heads)
    assert report.total.item() == pytest.approx(squares / 3, rel=1e-12)


def test_new_coords_behind_a_logistic_gets_the_logistics_derivative() -> None:
    batch = random_batch("v4-darknet", 6)
    bare = with_loss(batch.spec, "v4-darknet", {}, new_coords=True, activation="none")
    behind = with_loss(batch.spec, "v4-darknet", {}, new_coords=True, activation="sigmoid")
    activated = tuple(head.detach().sigmoid().requires_grad_() for head in batch.heads)
    plain = state_of(Batch(activated, batch.truth, bare), "v4-darknet")
    chained = state_of(Batch(batch.heads, batch.truth, behind), "v4-darknet")
    for direct, through, value in zip(plain, chained, activated, strict=True):
        torch.testing.assert_close(through.delta, direct.delta * value.detach() * (1 - value.detach()))


def v1_batch(rows: list[tuple[int, int, float, float, float, float]], boxes: list[list[float]], **loss: Any) -> Batch:
    """One image on a 1 x 1 grid with two boxes, confidences .6 and .3, class scores .2 .5 .3."""
    spec = with_loss(spec_v1(side=1), "v1-darknet", {"rescore": 1, "coord_scale": 5.0, "noobject_scale": 0.5, **loss})
    head = torch.tensor([[0.2, 0.5, 0.3, 0.6, 0.3, *boxes[0], *boxes[1]]], dtype=torch.float64)
    return Batch((head.requires_grad_(),), truth_of(rows, 1), spec)


def test_v1_by_hand() -> None:
    batch = v1_batch([(0, 1, 0.5, 0.5, 0.25, 0.25)], [[0.5, 0.5, 0.5, 0.5], [0.9, 0.9, 0.3, 0.3]])
    (state,) = state_of(batch, "v1-darknet")
    expected = [-0.2, 0.5, -0.3, 1 - 0.6, -0.15, *[0.0] * 8]
    np.testing.assert_allclose(state.delta[0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("first", "second", "responsible"), [(0.1, 0.05, 0), (0.05, 0.1, 1)])
def test_v1_without_overlap_takes_the_nearest_box(first: float, second: float, responsible: int) -> None:
    boxes = [[first, 0.1, 0.1, 0.1], [second, 0.1, 0.1, 0.1]]
    batch = v1_batch([(0, 1, 0.8, 0.8, 0.1, 0.1)], boxes, rescore=0)
    (state,) = state_of(batch, "v1-darknet")
    box_deltas = state.delta[0, 5:].view(2, 4).abs().sum(1)
    assert [float(d) > 0 for d in box_deltas] == [responsible == 0, responsible == 1]
    assert float(state.delta[0, 3 + responsible]) == pytest.approx(1 - (0.6, 0.3)[responsible])


@pytest.mark.parametrize(("size", "responsible"), [(0.1, 1), (0.9, 0)])
def test_v1_forced_goes_by_area(size: float, responsible: int) -> None:
    boxes = [[0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.4, 0.4]]
    batch = v1_batch([(0, 1, 0.5, 0.5, size, size)], boxes, forced=1)
    report = compute_loss(batch.heads, batch.truth, batch.spec, "v1-darknet", detail="objects")
    assert report.assignment.predictors_of(0)[0].anchor == responsible


def test_v1_softmax_and_plain_sizes() -> None:
    spec = with_loss(spec_v1(side=1), "v1-darknet", {}, sqrt_wh=False, class_activation="softmax")
    batch = v1_batch([(0, 1, 0.5, 0.5, 0.25, 0.25)], [[0.5, 0.5, 0.2, 0.2], [0.9, 0.9, 0.3, 0.3]])
    (state,) = state_of(Batch(batch.heads, batch.truth, spec), "v1-darknet")
    scores = [math.exp(v) for v in (0.2, 0.5, 0.3)]
    softened = [v / sum(scores) for v in scores]
    np.testing.assert_allclose(state.delta[0, :3].numpy(), [-softened[0], 1 - softened[1], -softened[2]], atol=1e-12)
    np.testing.assert_allclose(state.delta[0, 5:9].numpy(), [0, 0, 5 * 0.05, 5 * 0.05], atol=1e-12)


def test_pjreddie_lets_the_last_object_overwrite_and_alexeyab_adds() -> None:
    spec = spec_v4(family="v3")
    rows = [(0, 0, 0.52, 0.52, 0.4, 0.5), (0, 2, 0.53, 0.52, 0.41, 0.5)]
    heads = tuple(torch.zeros(spec.head_shape(i, 1), dtype=torch.float64) for i in range(2))
    deltas = {}
    for preset, chosen in itertools.product(("v3-darknet", "v3-pjreddie"), (rows, rows[:1], rows[1:])):
        (_, state) = state_of(Batch(heads, truth_of(chosen, 1), spec), preset)
        deltas[preset, len(chosen), chosen[-1][1]] = state.delta.view(3, 8, 2, 3)[:, :4]
    summed = deltas["v3-darknet", 1, 0] + deltas["v3-darknet", 1, 2]
    torch.testing.assert_close(deltas["v3-darknet", 2, 2], summed)
    torch.testing.assert_close(deltas["v3-pjreddie", 2, 2], deltas["v3-pjreddie", 1, 2])
    torch.testing.assert_close(deltas["v3-pjreddie", 1, 0] * 0.75, deltas["v3-darknet", 1, 0])


def test_pjreddies_region_has_the_size_weight_and_no_logistic_derivative() -> None:
    spec = spec_v2()
    truth = truth_of([(0, 1, 0.3, 0.4, 0.2, 0.3)], 1)
    head = torch.zeros(spec.head_shape(0, 1), dtype=torch.float64)
    ours, theirs = (state_of(Batch((head,), truth, spec), name)[0].delta for name in ("v2-darknet", "v2-pjreddie"))
    assigned = ours.view(3, 8, 3, 4)[:, 0].nonzero()[0]
    a, row, column = assigned.tolist()
    ratio = theirs.view(3, 8, 3, 4)[a, :, row, column] / ours.view(3, 8, 3, 4)[a, :, row, column]
    weight = 2 - 0.2 * 0.3
    np.testing.assert_allclose(ratio[:5].numpy(), [4 * weight, 4 * weight, weight, weight, 4], rtol=1e-12)


def test_per_head_rules_apply_to_their_head() -> None:
    batch = random_batch("v4-darknet", 6)
    both = with_loss(batch.spec, "v4-darknet", {"obj_normalizer": (4.0, 0.4)})
    states = state_of(Batch(batch.heads, batch.truth, both), "v4-darknet")
    for index, normalizer in enumerate((4.0, 0.4)):
        single = with_loss(batch.spec, "v4-darknet", {"obj_normalizer": normalizer})
        alone = state_of(Batch(batch.heads, batch.truth, single), "v4-darknet")
        torch.testing.assert_close(states[index].delta, alone[index].delta)


def test_an_empty_batch_has_only_background() -> None:
    for preset in ("v1-darknet", "v2-darknet", "v3-darknet", "v4-darknet"):
        batch = random_batch(preset, 1, most=0)
        assert len(random_truth(1, 2, 0, 3)) == 0
        report = compute_loss(batch.heads, GroundTruth.empty(2), batch.spec, preset)
        assert {name for name, term in report.terms.items() if term.weighted.item()} == {"no_objectness"}

"""Presets: names, sources, unknown keys, darknet's keys, and which heads they fit."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch

from tests.training.losses.cases import random_batch, random_heads, spec_v1, spec_v2, spec_v4
from yoloscope.models.errors import LabelError, PresetError, SpecError
from yoloscope.models.spec import DetectorSpec, LossSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses import PRESETS, FormulaPreset, Weights, compute_loss, get_preset
from yoloscope.training.losses.darknet.yolo import YoloPreset
from yoloscope.training.losses.names import PRESET_NAMES


def with_loss(spec: DetectorSpec, preset: str, **overrides: object) -> DetectorSpec:
    return spec.model_copy(update={"loss": LossSpec(preset=preset, overrides=overrides)})


def test_every_preset_has_its_name_and_a_source() -> None:
    assert tuple(PRESETS) == PRESET_NAMES
    for name, preset in PRESETS.items():
        assert preset.name == name
        assert re.search(r"https://|darknet src/|\w{3} .*, 20\d\d", preset.source), preset.source


def test_presets_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        PRESETS["v4"].name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("model", [FormulaPreset, Weights, YoloPreset])
def test_an_unknown_key_is_an_error_that_lists_the_known_ones(model: Callable[..., object]) -> None:
    with pytest.raises(PresetError, match=r"unknown preset key 'iou_tresh'; known keys: "):
        model(iou_tresh=0.2)


def test_a_wrong_value_names_its_key() -> None:
    with pytest.raises(PresetError, match="preset key 'collision'"):
        FormulaPreset(collision="both")
    with pytest.raises(PresetError, match="class_loss 'bce' needs class_activation 'sigmoid'"):
        FormulaPreset(class_activation="softmax")
    with pytest.raises(PresetError, match="unknown preset key 'boks'; known keys: box, class"):
        FormulaPreset(weights={"boks": 1.0})


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(PresetError, match="unknown loss preset 'v5'; known presets: v1, v2"):
        get_preset("v5", spec_v4())


def test_overrides_of_the_spec_apply_to_its_own_preset_alone() -> None:
    spec = with_loss(spec_v4(), "v4", ignore_threshold=0.5, weights={"box": 2.0})
    own = get_preset("v4", spec)
    assert isinstance(own, FormulaPreset)
    assert own.ignore_threshold == 0.5
    assert own.weights.box == 2.0
    assert get_preset(None, spec) == own
    assert get_preset("v3", spec) == PRESETS["v3"]
    with pytest.raises(PresetError, match="unknown preset key 'ignore'"):
        get_preset("v4", with_loss(spec_v4(), "v4", ignore=0.5))


def test_darknet_keys_become_rules() -> None:
    spec = with_loss(
        spec_v4(),
        "v4-darknet",
        iou_loss="giou",
        obj_normalizer=(4.0, 0.4),
        objectness_smooth=[0, 1],
        focal_loss=0,
        max_delta=None,
        ignore_thresh="0.6",
    )
    rules = get_preset("v4-darknet", spec)
    assert isinstance(rules, YoloPreset)
    assert rules.iou_loss == "giou"
    assert rules.ignore_thresh == 0.6
    assert rules.max_delta is None
    assert rules.at_head(0, 2).obj_normalizer == 4.0
    assert rules.at_head(1, 2).objectness_smooth is True
    with pytest.raises(PresetError, match="one per head"):
        rules.at_head(0, 3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"jitter": 0.3}, r"unknown darknet key 'jitter' for \[yolo\]; known keys: cls_normalizer"),
        ({"counters_per_class": "1,2"}, "darknet key 'counters_per_class' is refused"),
        ({"iou_loss": "siou"}, "preset key 'iou_loss"),
    ],
)
def test_other_darknet_keys_are_refused(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(PresetError, match=message):
        get_preset("v4-darknet", with_loss(spec_v4(), "v4-darknet", **overrides))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"collision": "mean"}, "needs collision 'first', got 'mean'"),
        ({"collision": "first", "prior_images": 100}, "no anchors that prior_images could pull to"),
    ],
)
def test_keys_that_cells_would_ignore_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(PresetError, match=message):
        FormulaPreset(match="cell_best_iou", **keys)


def test_class_weights_must_be_one_per_class() -> None:
    spec = spec_v4()
    with pytest.raises(PresetError, match="'class_weights': expected 3, one per class, got 2"):
        compute_loss(random_heads(spec, 1, 0), GroundTruth.empty(1), spec, FormulaPreset(class_weights=(1.0, 2.0)))


def test_random_responsibility_is_refused() -> None:
    with pytest.raises(PresetError, match="random=1"):
        get_preset("v1-darknet", with_loss(spec_v1(), "v1-darknet", random=1))


@pytest.mark.parametrize(
    ("preset", "spec"),
    [
        ("v1", spec_v4()),
        ("v4", spec_v1()),
        ("v2-darknet", spec_v4()),
        ("v4-darknet", spec_v2()),
        ("article-mse", spec_v2()),
    ],
)
def test_a_preset_must_fit_the_heads(preset: str, spec: DetectorSpec) -> None:
    with pytest.raises(PresetError, match=r"needs .* heads, got"):
        compute_loss(random_heads(spec, 1, 0), GroundTruth.empty(1), spec, preset)


def test_gaussian_heads_and_heads_without_logits_are_refused() -> None:
    spec = spec_v4()
    gaussian = spec.model_copy(
        update={"heads": tuple(h.model_copy(update={"kind": "gaussian_yolo"}) for h in spec.heads)}
    )
    with pytest.raises(PresetError, match="gaussian_yolo"):
        get_preset("v4", gaussian)
    tree = spec_v2()
    tree = tree.model_copy(update={"heads": (tree.heads[0].model_copy(update={"class_activation": "tree"}),)})
    with pytest.raises(PresetError, match="hierarchical classes"):
        get_preset("v2-darknet", tree)
    bare = spec.model_copy(update={"heads": tuple(h.model_copy(update={"activation": "none"}) for h in spec.heads)})
    with pytest.raises(PresetError, match="needs logits"):
        get_preset("v4", bare)


def test_heads_and_labels_must_fit_the_spec() -> None:
    batch = random_batch("v4", 2)
    with pytest.raises(SpecError, match="expected 2 head tensors, got 1"):
        compute_loss(batch.heads[:1], batch.truth, batch.spec, "v4")
    with pytest.raises(SpecError, match=r"expected head 0 of shape \(2, 24, 4, 6\), got \(2, 23, 4, 6\)"):
        compute_loss((batch.heads[0][:, 1:], batch.heads[1]), batch.truth, batch.spec, "v4")
    with pytest.raises(SpecError, match="one network size"):
        compute_loss((batch.heads[0][:, :, 1:], batch.heads[1]), batch.truth, batch.spec, "v4")
    with pytest.raises(LabelError, match="of 2 images, got 3"):
        compute_loss(batch.heads, GroundTruth.empty(3), batch.spec, "v4")


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((float("nan"), 0.5, 0.1, 0.1), "a finite box"),
        ((1.1, 0.5, 0.1, 0.1), "a center in 0..1"),
        ((0.5, 0.5, -0.1, 0.1), "width and height of at least 0"),
    ],
)
def test_a_wrong_box_is_named(box: tuple[float, ...], message: str) -> None:
    spec = spec_v4()
    truth = GroundTruth(torch.tensor([box]), torch.tensor([0]), torch.tensor([0]), 1)
    with pytest.raises(LabelError, match=f"image 0, object 0: expected {message}"):
        compute_loss(random_heads(spec, 1, 0), truth, spec, "v4")


def test_another_network_size_keeps_the_anchors_in_pixels() -> None:
    spec, larger = spec_v4(), spec_v4(width=192, height=128)
    heads = random_heads(larger, 2, 3)
    truth = random_batch("v4", 6).truth
    got = compute_loss(heads, truth, spec, "v4").total
    torch.testing.assert_close(got, compute_loss(heads, truth, larger, "v4").total)


def test_channels_last_heads_give_the_same_loss_and_layout() -> None:
    batch = random_batch("v4", 6)
    last = [h.detach().to(memory_format=torch.channels_last).requires_grad_() for h in batch.heads]
    report, expected = (compute_loss(h, batch.truth, batch.spec, "v4") for h in (last, batch.heads))
    assert report.total.item() == expected.total.item()
    for got, want in zip(
        torch.autograd.grad(report.total, last), torch.autograd.grad(expected.total, batch.heads), strict=True
    ):
        torch.testing.assert_close(got, want)
        assert got.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_labels_may_be_of_another_precision_than_heads(preset: str, dtype: torch.dtype) -> None:
    batch = random_batch(preset, 6)
    rounded = batch.truth.boxes_cxcywh_norm.to(dtype)
    exact, coarse = (
        GroundTruth(boxes, batch.truth.class_ids, batch.truth.image_index, batch.truth.batch_size)
        for boxes in (rounded.double(), rounded)
    )
    totals = [compute_loss(batch.heads, truth, batch.spec, preset).total for truth in (exact, coarse)]
    torch.testing.assert_close(totals[1], totals[0], rtol=1e-4, atol=0)


@pytest.mark.parametrize("key", ["scale_weights", "box"])
def test_per_head_values_must_be_one_per_head(key: str) -> None:
    batch = random_batch("v4", 2)
    wrong = (
        FormulaPreset(scale_weights=(1.0, 2.0, 3.0))
        if key == "scale_weights"
        else FormulaPreset(weights={"box": (1.0,) * 3})
    )
    with pytest.raises(PresetError, match=f"{key}.*expected one number or 2"):
        compute_loss(batch.heads, batch.truth, batch.spec, wrong)

"""Terms by hand: label smoothing, objectness, class weights, logits, box losses."""

import math

import pytest
import torch

from tests.training.losses.cases import spec_v4
from yoloscope.models.errors import LossError, PresetError
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses import FormulaPreset, LossReport, compute_loss
from yoloscope.training.losses.decode import ExtentDecode, decode_center, decode_extent
from yoloscope.training.losses.presets import PRESETS
from yoloscope.training.losses.terms import (
    BOX_LOSSES,
    BoxLoss,
    BoxPairs,
    center_logits,
    class_cost,
    extent_logits,
    objectness_cost,
)


@pytest.mark.parametrize(
    ("smoothing", "expected"),
    [
        # Logits 2 (the object's class) and -1. Without: log(1 + e^-2) + log(1 + e^-1) = 0.126928 + 0.313262.
        (0.0, 0.440190),
        # Targets .95 and .05: .05 more of the first logit, .05 less of the second: + .05 * 2 + .05 * 1.
        (0.1, 0.590190),
    ],
)
def test_the_class_loss_of_one_object(smoothing: float, expected: float) -> None:
    spec = spec_v4(classes=2)
    heads = [torch.zeros(spec.head_shape(index, 1)) for index in range(2)]
    for head in heads:
        predictors = head.view(1, 3, 7, *head.shape[2:])
        predictors[:, :, 5], predictors[:, :, 6] = 2.0, -1.0
    width, height = 40 / spec.input_width, 28 / spec.input_height
    truth = GroundTruth(torch.tensor([[0.5, 0.5, width, height]]), torch.tensor([0]), torch.tensor([0]), 1)
    preset = PRESETS["v4"].replace(match="best_anchor", label_smoothing=smoothing)
    report = compute_loss(tuple(heads), truth, spec, preset=preset)
    assert float(report.terms["classification"].raw) == pytest.approx(expected, abs=1e-6)


def test_objectness_by_hand() -> None:
    raw, target = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0])
    half = torch.tensor(0.5)
    assert torch.allclose(objectness_cost(raw, target), torch.full((2,), math.log(2)))
    assert objectness_cost(raw, target, "mse").tolist() == [0.25, 0.25]
    assert objectness_cost(half, half, "mse", activated=True).item() == 0
    focal = objectness_cost(raw, target, "focal", gamma=2.0, alpha=0.25)
    assert torch.allclose(focal, math.log(2) * 0.25 * torch.tensor([0.25, 0.75]))


def test_class_weights_multiply_each_class() -> None:
    raw, targets = torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 0.0]])
    plain = class_cost(raw, targets, "mse")
    weighted = class_cost(raw, targets, "mse", class_weights=(1.0, 4.0, 0.0))
    assert plain.tolist() == [0.75]
    assert weighted.tolist() == [1.25]
    softmax = class_cost(raw, targets, "mse", activation="softmax")
    assert softmax.item() == pytest.approx((1 / 3) ** 2 + (2 / 3) ** 2 + (1 / 3) ** 2)


def test_logits_decode_to_what_they_were_made_of() -> None:
    offset = torch.tensor([[0.2, 0.7]])
    assert torch.allclose(decode_center(center_logits(offset, 1.2), 0.0, 1.2, "scaled"), offset)
    wh, anchors = torch.tensor([[0.3, 0.1]]), torch.tensor([[0.2, 0.2]])
    scaled: tuple[ExtentDecode, ...] = ("exp", "double_sigmoid")
    for rule in scaled:
        assert torch.allclose(decode_extent(extent_logits(wh, anchors, rule), anchors, rule), wh)
    plain: tuple[ExtentDecode, ...] = ("sigmoid", "squared", "linear")
    for rule in plain:
        assert torch.allclose(decode_extent(extent_logits(wh, torch.ones(1, 2), rule), 1.0, rule), wh)


def test_every_box_loss_is_zero_for_a_perfect_box() -> None:
    box = torch.tensor([[0.5, 0.5, 0.25, 0.25]])
    offset, anchors = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.25]])
    raw = torch.zeros(1, 4)
    pairs = BoxPairs(raw, offset, box, offset, box, anchors)
    assert {"mse", "mse_sqrt", "mse_logits", "l1_logits", "iou", "giou", "diou", "ciou"} <= BOX_LOSSES.keys()
    for name, loss in BOX_LOSSES.items():
        cost = torch.stack(tuple(loss(pairs).values())).sum().item()
        assert cost == pytest.approx(2 * math.log(2) if name == "bce_xy_mse_wh" else 0, abs=1e-6), name


class TestOwnBoxLoss:
    """A box loss that somebody writes: what it takes, and what it must give."""

    truth = GroundTruth(torch.tensor([[0.5, 0.5, 0.3, 0.4]]), torch.tensor([1]), torch.tensor([0]), 1)

    def of(self, preset: FormulaPreset) -> LossReport:
        spec = spec_v4()
        heads = tuple(torch.zeros(spec.head_shape(index, 1)) for index in range(2))
        return compute_loss(heads, self.truth, spec, preset)

    @pytest.mark.parametrize(
        ("parts", "got"),
        [
            ({"center": (1,), "size": (1,)}, r"got \{'center': \(\d,\), 'size'"),
            ({"size": (1,)}, r"got \{'size': \(\d,\)\}"),
            ({}, r"got \{\}"),
            ({"overlap": (1, 4)}, r"got \{'overlap': \(\d, 4\)\}"),
        ],
    )
    def test_wrong_parts_are_named(
        self, parts: dict[str, tuple[int, ...]], got: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def wrong(pairs: BoxPairs) -> dict[str, torch.Tensor]:
            shape = pairs.logits.shape[:1]
            return {name: torch.zeros(*shape, *rest) for name, (_, *rest) in parts.items()}

        monkeypatch.setitem(BOX_LOSSES, "wrong", BoxLoss(wrong))
        with pytest.raises(
            LossError, match=r"box loss 'wrong': expected costs \[\d\] named 'centre' and 'size', or .*" + got
        ):
            self.of(FormulaPreset(box_loss="wrong"))

    def test_its_parts_are_the_terms(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def constant(pairs: BoxPairs) -> dict[str, torch.Tensor]:
            ones = torch.ones_like(pairs.logits[:, 0])
            return {"centre": 2 * ones, "size": 3 * ones}

        monkeypatch.setitem(BOX_LOSSES, "constant", BoxLoss(constant))
        terms = self.of(FormulaPreset(box_loss="constant", match="best_anchor")).terms
        assert (float(terms["xy"].raw), float(terms["wh"].raw)) == (2, 3)
        assert "box" not in terms

    @pytest.mark.parametrize("name", ["mse_logits", "l1_logits", "bce_xy_mse_wh"])
    def test_logits_of_a_center_need_a_logistic(self, name: str) -> None:
        with pytest.raises(PresetError, match=f"box_loss '{name}' needs decode_xy 'sigmoid' or 'scaled'"):
            FormulaPreset(box_loss=name, decode_xy="linear", objectness_loss="mse")
        assert FormulaPreset(box_loss="mse", decode_xy="linear").decode_xy == "linear"

    def test_smooth_targets_have_no_class_gate(self) -> None:
        with pytest.raises(PresetError, match="objectness_target 'smooth' has no ignore_class_gate"):
            FormulaPreset(objectness_target="smooth", ignore_class_gate=0.25)
        assert FormulaPreset(objectness_target="smooth").ignore_class_gate is None

    def test_options_reach_the_losses_that_take_them_alone(self) -> None:
        """Boxes of IoU 1/3 (2x1 in 2x3): alpha_gate takes ciou's aspect away and leaves the others as they are."""
        box, wide = torch.tensor([[0.5, 0.5, 0.2, 0.1]]), torch.tensor([[0.5, 0.5, 0.2, 0.3]])
        offset = torch.tensor([[0.5, 0.5]])
        pairs = BoxPairs(torch.zeros(1, 4), offset, box, offset, wide, torch.ones(1, 2))
        v = 4 / math.pi**2 * (math.atan(2 / 3) - math.atan(2)) ** 2
        aspect = v * v / (1 - 1 / 3 + v)
        assert BOX_LOSSES["ciou"](pairs)["aspect"].item() == pytest.approx(aspect, rel=1e-5)
        assert BOX_LOSSES["ciou"](pairs, alpha_gate=True)["aspect"].item() == 0
        assert BOX_LOSSES["iou"](pairs, alpha_gate=True)["overlap"].item() == pytest.approx(2 / 3, rel=1e-6)

"""Objects that count less than others."""

from dataclasses import replace

import pytest
import torch

from yoloscope.models.errors import LabelError, PresetError
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses import LossReport, compute_loss

SPEC = DetectorSpec(
    name="weights",
    family="v4",
    class_names=("a", "b"),
    input_width=64,
    input_height=64,
    anchors_px=((16.0, 16.0),),
    heads=(HeadSpec(kind="yolo", grid_width=4, grid_height=4, anchor_indices=(0,)),),
    loss=LossSpec(preset="v4"),
)


def heads() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return (torch.randn(2, 7, 4, 4, dtype=torch.float64).requires_grad_(),)


def truth(weights: list[float] | None, *, same_cell: bool = False) -> GroundTruth:
    """Two objects in image 0 and one in image 1; with ``same_cell`` the first two meet in one predictor."""
    second = [0.15, 0.15, 0.25, 0.3] if same_cell else [0.8, 0.8, 0.25, 0.3]
    boxes = torch.tensor([[0.1, 0.1, 0.25, 0.25], second, [0.6, 0.3, 0.3, 0.2]], dtype=torch.float64)
    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    return GroundTruth(boxes, torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2, given)


def score(weights: list[float] | None, *, same_cell: bool = False) -> LossReport:
    return compute_loss(heads(), truth(weights, same_cell=same_cell), SPEC, None, "objects")


@pytest.mark.parametrize("same_cell", [False, True])
def test_weights_of_one_are_no_weights(same_cell: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    plain, weighted = score(None, same_cell=same_cell), score([1, 1, 1], same_cell=same_cell)
    assert torch.equal(plain.total, weighted.total)


def test_each_object_costs_its_share_and_the_background_what_it_did() -> None:
    plain, weighted = score(None), score([0.25, 1.0, 0.5])
    share = torch.tensor([0.25, 1.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(weighted.by_object.total, plain.by_object.total * share)
    torch.testing.assert_close(weighted.by_object.background, plain.by_object.background)
    total = weighted.by_object.total.sum() + weighted.by_object.background.sum()
    torch.testing.assert_close(weighted.total.detach(), total)


def test_objects_on_one_predictor_share_its_cost_at_their_mean_weight() -> None:
    plain, weighted = score(None, same_cell=True), score([0.5, 1.0, 1.0], same_cell=True)
    for term in ("objectness", "classification"):
        common, lighter = plain.by_object.terms[term], weighted.by_object.terms[term]
        torch.testing.assert_close(lighter[:2].sum(), 0.75 * common[:2].sum())
    box, lighter = plain.by_object.terms["box"], weighted.by_object.terms["box"]
    torch.testing.assert_close(lighter, box * torch.tensor([0.5, 1.0, 1.0], dtype=torch.float64))
    parts = sum(float(part.weighted) for part in weighted.box_parts.values())
    assert parts == pytest.approx(float(weighted.terms["box"].weighted))


def test_gradients_follow_the_weights() -> None:
    raw = heads()
    light = compute_loss(raw, truth([0.0, 0.0, 0.0]), SPEC, None).total
    (gradient,) = torch.autograd.grad(light, raw)
    assert float(gradient[:, :4].abs().sum()) == 0, "without weight no box pulls"
    assert float(gradient[:, 4].abs().sum()) > 0, "the background still does"


def test_presets_without_weights_refuse_them() -> None:
    with pytest.raises(PresetError, match="knows no weights of objects"):
        compute_loss(heads(), truth([1, 1, 1]), SPEC, "v4-darknet")


def test_there_is_a_weight_for_each_object() -> None:
    with pytest.raises(LabelError, match="expected a weight for each of 3 objects"):
        replace(truth(None), weights=torch.ones(2))
    empty = replace(GroundTruth.empty(2), weights=torch.zeros(0))
    assert torch.isfinite(compute_loss(heads(), empty, SPEC, None).total)

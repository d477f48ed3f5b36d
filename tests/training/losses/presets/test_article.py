"""The three losses of the article, against torch's own modules on the article's tensors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.training.losses.cases import random_batch
from yoloscope.models import boxes
from yoloscope.training.losses import compute_loss
from yoloscope.training.losses.presets.article import ArticleCells, ArticlePreset, article_terms


def random_cells(seed: int) -> tuple[Tensor, Tensor]:
    """``pred`` and ``target`` [B, S, S, 5+C] of the article: probabilities, some cells with an object."""
    generator = torch.Generator().manual_seed(seed)
    predicted = torch.rand(2, 3, 3, 8, generator=generator, dtype=torch.float64)
    target = torch.zeros_like(predicted)
    target[:, 0, :, :4] = predicted[:, 0, :, :4] * 0.9
    target[:, 1, 1, :4] = torch.rand(2, 4, generator=generator, dtype=torch.float64)
    target[..., 4] = (target[..., 2] > 0).double()
    target[..., 5] = target[..., 4]
    return predicted, target


def total(variant: str, predicted: Tensor, target: Tensor) -> Tensor:
    preset = ArticlePreset(variant=variant)
    terms = article_terms(ArticleCells(predicted, target), preset)
    weights = (1.0, 1.0, 1.0, 1.0) if variant == "mse" else (5.0, 1.0, 0.5, 1.0)
    parts = (terms.box, terms.objectness, terms.no_objectness, terms.classification)
    return torch.stack([weight * part.sum() for weight, part in zip(weights, parts, strict=True)]).sum()


@pytest.mark.parametrize("seed", range(20))
def test_example_1(seed: int) -> None:
    predicted, target = random_cells(seed)
    mse = nn.MSELoss()
    expected = sum(mse(predicted[..., part], target[..., part]) for part in (slice(0, 4), slice(4, 5), slice(5, 8)))
    torch.testing.assert_close(total("mse", predicted, target), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("variant", ["masked", "iou"])
@pytest.mark.parametrize("seed", range(20))
def test_examples_2_and_3(variant: str, seed: int) -> None:
    predicted, target = random_cells(seed)
    positive = target[..., 4] > 0
    if variant == "iou":
        overlap = boxes.paired_iou(boxes.cxcywh_to_xyxy(predicted[..., :4]), boxes.cxcywh_to_xyxy(target[..., :4]))
        positive = overlap > 0.5
    wanted = positive.double()
    mse, negative = nn.MSELoss(), ~positive
    placed = positive if variant == "iou" else torch.ones_like(positive)
    expected = 5 * nn.SmoothL1Loss()(predicted[..., :4][placed], target[..., :4][placed])
    expected = expected + mse(predicted[..., 4][positive], wanted[positive])
    expected = expected + 0.5 * mse(predicted[..., 4][negative], wanted[negative])
    expected = expected + nn.BCELoss()(predicted[..., 5:][positive], target[..., 5:][positive])
    torch.testing.assert_close(total(variant, predicted, target), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("preset", ["article-mse", "article-masked", "article-iou"])
def test_no_object_at_all_is_finite(preset: str) -> None:
    batch = random_batch(preset, 1, most=0)
    report = compute_loss(batch.heads, batch.truth, batch.spec, preset)
    torch.autograd.backward(report.total)
    assert torch.isfinite(report.total)


def test_the_iou_gate_can_leave_an_object_without_a_positive() -> None:
    batch = random_batch("article-iou", 4)
    report = compute_loss(batch.heads, batch.truth, batch.spec, "article-iou", detail="objects")
    assert len(batch.truth)
    assert report.lost_objects()

"""The three losses of the article on a grid of 2x2 cells, computed by the presets ``article-*``."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from yoloscope.training.explain.table import Cell, Table, squared_error
from yoloscope.training.losses.presets.article import (
    ARTICLE_IOU,
    ARTICLE_MASKED,
    ARTICLE_MSE,
    ArticleCells,
    ArticlePreset,
    article_terms,
)

FORMULAS = {
    "mse": "mean of (b - b^)^2 + mean of (o - o^)^2 + mean of (p - p^)^2",
    "masked": """5 mean of smoothL1(b, b^), e^2 / 2 for small e, over all cells
+ 1 mean of (o - 1)^2 over positives + 0.5 mean of o^2 over negatives
+ 1 mean of BCE(p, p^) over positives""",
    "iou": """5 mean of smoothL1(b, b^) over positives
+ 1 mean of (o - 1)^2 over positives + 0.5 mean of o^2 over negatives
+ 1 mean of BCE(p, p^) over positives""",
}
TERMS = ("box", "objectness", "no_objectness", "classification")
TARGET = (0.5, 0.5, 0.4, 0.6, 1.0, 1.0, 0.0)
PREDICTED = (0.6, 0.5, 0.5, 0.6, 0.8, 0.7, 0.3)
FAR_AWAY = (0.8, 0.5, 0.5, 0.6, 0.8, 0.7, 0.3)
EMPTY_CONFIDENCE = 0.3


def article() -> Iterator[Table]:
    """Yield the losses of the article, which prints no numbers of its own, on one small batch."""
    names = ("x", "y", "w", "h", "confidence", "cat", "dog")
    yield Table(
        "One image of 2x2 cells and two classes",
        ("cell", *names),
        (
            ("(0, 0), object", *TARGET),
            ("(0, 0), predicted", *PREDICTED),
            ("(1, 1), predicted", 0.0, 0.0, 0.0, 0.0, EMPTY_CONFIDENCE, 0.0, 0.0),
        ),
        note="All else is 0. The article prints no numbers; these are what its code computes.",
    )
    errors = " + ".join(squared_error(a, b) for a, b in zip(PREDICTED[:4], TARGET[:4], strict=True) if a != b)
    confidence = squared_error(PREDICTED[4], 1)
    entropy = f"(-log({PREDICTED[5]:g}) - log(1 - {PREDICTED[6]:g})) / 2"
    yield _losses(
        "Example 1, yolo_loss_mse (preset article-mse): means over 4 cells",
        ARTICLE_MSE,
        {
            "box": f"({errors}) / (4 * 4)",
            "objectness": f"{confidence} / 4",
            "no_objectness": f"{EMPTY_CONFIDENCE}^2 / 4",
            "classification": f"({squared_error(PREDICTED[5], 1)} + {squared_error(PREDICTED[6], 0)}) / (2 * 4)",
        },
    )
    masked = {
        "objectness": f"1 * {confidence} / 1",
        "no_objectness": f"0.5 * {EMPTY_CONFIDENCE}^2 / 3",
        "classification": f"1 * {entropy} / 1",
    }
    yield _losses(
        "Example 2, yolo_loss_adv (preset article-masked): means over 1 positive, 3 negatives",
        ARTICLE_MASKED,
        {"box": f"5 * ({errors}) / 2 / (4 * 4)", **masked},
    )
    yield _losses(
        "Example 3, yolo_loss_iou (preset article-iou): positive where IoU > 0.5, here 0.21 / 0.33",
        ARTICLE_IOU,
        {"box": f"5 * ({errors}) / 2 / (4 * 1)", **masked},
    )
    lost = f"0.5 * ({FAR_AWAY[4]:g}^2 + {EMPTY_CONFIDENCE}^2) / 4"
    yield _losses(
        "Example 3 with x = 0.8 predicted: IoU 0.09 / 0.45, and the object has no positive at all",
        ARTICLE_IOU,
        {"box": "0", "objectness": "0", "no_objectness": lost, "classification": "0"},
        predicted=FAR_AWAY,
        note="The article's means over nothing are NaN; here they are 0.",
    )


def _losses(
    title: str,
    preset: ArticlePreset,
    filled: dict[str, str],
    predicted: tuple[float, ...] = PREDICTED,
    note: str = "",
) -> Table:
    parts = article_terms(_cells(predicted), preset)
    lambdas = preset.lambdas()
    weighted = {name: float(getattr(parts, name).sum()) * lambdas.get(name, 1.0) for name in TERMS}
    rows: list[tuple[Cell, ...]] = [(name, filled[name], weighted[name]) for name in TERMS]
    rows.append(("total", "", sum(weighted.values())))
    return Table(title, ("term", "filled in", "loss"), tuple(rows), FORMULAS[preset.variant], note)


def _cells(predicted: tuple[float, ...]) -> ArticleCells:
    cells, target = torch.zeros(1, 2, 2, 7, dtype=torch.float64), torch.zeros(1, 2, 2, 7, dtype=torch.float64)
    cells[0, 0, 0] = torch.tensor(predicted, dtype=torch.float64)
    cells[0, 1, 1, 4] = EMPTY_CONFIDENCE
    target[0, 0, 0] = torch.tensor(TARGET, dtype=torch.float64)
    return ArticleCells(cells, target)

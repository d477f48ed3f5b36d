"""Precision against recall at IoU .5, one line a class and a thick one for their mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.evaluation.coco import RECALLS
from training.evaluation.evaluation import Evaluation
from training.evaluation.html.markup import Markup, decimal, join, tag

_WIDTH, _HEIGHT = 460.0, 330.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 46.0, 12.0, 14.0, 42.0
_MOST_COLOURS = 6


def draw_curves(evaluation: Evaluation) -> Markup:
    """Return the chart; up to six classes have a colour and an entry in the legend, more are thin and grey."""
    coco, names = evaluation.coco, evaluation.dataset.class_names
    known = [int(index) for index in np.flatnonzero(~np.isnan(coco.ap50))]
    if not known:
        return tag("p", "No objects, no curves.", class_="note")
    lines = [
        tag(
            "polyline",
            tag("title", f"{names[index]}: AP50 {decimal(float(coco.ap50[index]))}"),
            points=_points(coco.precision50[:, index]),
            class_=f"curve c{rank}" if len(known) <= _MOST_COLOURS else "curve many",
        )
        for rank, index in enumerate(known)
    ]
    mean = tag("polyline", points=_points(coco.precision50[:, known].mean(axis=1)), class_="curve mean")
    chart = tag(
        "svg",
        *_axes(),
        *lines,
        mean,
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        role="img",
        aria_label="precision against recall",
    )
    return join(chart, _legend([names[index] for index in known]))


def _points(precision: NDArray[np.float64]) -> str:
    """Return the line up to the last recall that is reached."""
    reached = max(int(np.count_nonzero(precision)), 1)
    pairs = zip(RECALLS[:reached], precision[:reached], strict=True)
    return " ".join(f"{_x(float(recall)):.1f},{_y(float(value)):.1f}" for recall, value in pairs)


def _x(recall: float) -> float:
    return _LEFT + recall * (_WIDTH - _LEFT - _RIGHT)


def _y(precision: float) -> float:
    return _TOP + (1 - precision) * (_HEIGHT - _TOP - _BOTTOM)


def _axes() -> list[Markup]:
    parts = []
    for step in range(6):
        value = step / 5
        parts.append(tag("line", x1=_x(0), x2=_x(1), y1=_y(value), y2=_y(value), class_="grid"))
        parts.append(tag("text", f"{value:.1f}", x=_x(0) - 8, y=_y(value) + 4, text_anchor="end"))
        parts.append(tag("text", f"{value:.1f}", x=_x(value), y=_y(0) + 18, text_anchor="middle"))
    parts.append(tag("text", "recall", x=_x(0.5), y=_HEIGHT - 5, text_anchor="middle"))
    middle = _y(0.5)
    parts.append(tag("text", "precision", x=12, y=middle, text_anchor="middle", transform=f"rotate(-90 12 {middle})"))
    return parts


def _legend(names: list[str]) -> Markup:
    mean = tag("span", tag("i", class_="key mean"), "mean of the classes")
    if len(names) > _MOST_COLOURS:
        each = [tag("span", tag("i", class_="key many"), f"each of {len(names)} classes")]
    else:
        each = [tag("span", tag("i", class_=f"key c{rank}"), name) for rank, name in enumerate(names)]
    return tag("p", mean, *each, class_="legend")

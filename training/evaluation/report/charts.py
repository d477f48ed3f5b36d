"""Charts of the report as HTML and SVG: TIDE errors as bars, precision-recall curves, the confusion matrix."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from yoloscope.training.evaluation.coco import RECALLS
from yoloscope.training.evaluation.evaluate import Evaluation
from yoloscope.training.evaluation.report.document import shown_classes
from yoloscope.training.evaluation.report.markup import Markup, decimal, join, tag
from yoloscope.training.evaluation.tide import KINDS, TideKind, TideResult

_MEANING: Final[dict[TideKind, str]] = {
    "classification": "an object well placed, under another class",
    "localisation": "the right class, IoU between .1 and .5",
    "both": "another class and badly placed",
    "duplicate": "an object that a better detection has",
    "background": "no object there",
    "missed": "an object that nothing points at",
}
_CURVE_WIDTH, _CURVE_HEIGHT = 460.0, 330.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 46.0, 12.0, 14.0, 42.0
_MAX_COLORS = 6
_MAX_CLASSES = 16
_CELL_PX, _MARGIN_LEFT, _MARGIN_TOP = 34.0, 120.0, 96.0
_MAX_NAME_LENGTH = 15


def draw_errors(tide: TideResult) -> Markup:
    """Return a table of the six kinds with their counts and the gain in AP50 if they were repaired."""
    gains = {kind: 0.0 if math.isnan(gain) else max(gain, 0.0) for kind, gain in tide.gains.items()}
    longest = max(*gains.values(), 1e-9)
    rows = [
        tag(
            "tr",
            tag("th", kind, tag("small", _MEANING[kind]), scope="row"),
            tag("td", tag("div", class_="bar", style=f"width:{100 * gains[kind] / longest:.1f}%"), class_="wide"),
            tag("td", f"+{decimal(gains[kind])}", class_="figure"),
            tag("td", f"{tide.counts[kind]:,}", class_="figure"),
        )
        for kind in KINDS
    ]
    head = tag("tr", tag("th", "kind"), tag("th"), tag("th", "AP50 gained"), tag("th", "count"))
    return tag("table", tag("thead", head), tag("tbody", *rows), class_="errors")


def draw_curves(evaluation: Evaluation) -> Markup:
    """Return the precision-recall curves at IoU .5; up to six classes have a color, more are thin and gray."""
    coco, names = evaluation.coco, evaluation.dataset.class_names
    known = [int(index) for index in np.flatnonzero(~np.isnan(coco.ap50))]
    if not known:
        return tag("p", "No objects, no curves.", class_="note")
    lines = [
        tag(
            "polyline",
            tag("title", f"{names[index]}: AP50 {decimal(float(coco.ap50[index]))}"),
            points=_points(coco.precision50[:, index]),
            class_=f"curve c{rank}" if len(known) <= _MAX_COLORS else "curve many",
        )
        for rank, index in enumerate(known)
    ]
    mean = tag("polyline", points=_points(coco.precision50[:, known].mean(axis=1)), class_="curve mean")
    chart = tag(
        "svg",
        *_axes(),
        *lines,
        mean,
        viewBox=f"0 0 {_CURVE_WIDTH:.0f} {_CURVE_HEIGHT:.0f}",
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
    return _LEFT + recall * (_CURVE_WIDTH - _LEFT - _RIGHT)


def _y(precision: float) -> float:
    return _TOP + (1 - precision) * (_CURVE_HEIGHT - _TOP - _BOTTOM)


def _axes() -> list[Markup]:
    parts = []
    for step in range(6):
        value = step / 5
        parts.append(tag("line", x1=_x(0), x2=_x(1), y1=_y(value), y2=_y(value), class_="grid"))
        parts.append(tag("text", f"{value:.1f}", x=_x(0) - 8, y=_y(value) + 4, text_anchor="end"))
        parts.append(tag("text", f"{value:.1f}", x=_x(value), y=_y(0) + 18, text_anchor="middle"))
    parts.append(tag("text", "recall", x=_x(0.5), y=_CURVE_HEIGHT - 5, text_anchor="middle"))
    middle = _y(0.5)
    parts.append(tag("text", "precision", x=12, y=middle, text_anchor="middle", transform=f"rotate(-90 12 {middle})"))
    return parts


def _legend(names: list[str]) -> Markup:
    mean = tag("span", tag("i", class_="key mean"), "mean of the classes")
    if len(names) > _MAX_COLORS:
        each = [tag("span", tag("i", class_="key many"), f"each of {len(names)} classes")]
    else:
        each = [tag("span", tag("i", class_=f"key c{rank}"), name) for rank, name in enumerate(names)]
    return tag("p", mean, *each, class_="legend")


def draw_confusion(evaluation: Evaluation) -> Markup:
    """Return the map of the classes with the most errors, shaded by the share of each row, and the list."""
    matrix = evaluation.confusion.matrix
    classes = _most_confused(evaluation)
    rows = [*classes, len(matrix) - 1]
    part = matrix[np.ix_(rows, rows)]
    labels = [*(evaluation.dataset.class_names[index] for index in classes), "background"]
    hidden = len(shown_classes(evaluation)) - len(classes)
    note = f"The {len(classes)} classes with the most errors; the other {hidden} are in the JSON." if hidden else ""
    chart = tag("div", _chart(part, labels), class_="scroll")
    return join(tag("div", chart, _largest(evaluation), class_="beside"), tag("p", note, class_="note"))


def _most_confused(evaluation: Evaluation) -> list[int]:
    matrix = evaluation.confusion.matrix
    wrong = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diagonal(matrix)
    ranked = sorted(shown_classes(evaluation), key=lambda index: -int(wrong[index]))
    return sorted(ranked[:_MAX_CLASSES])


def _chart(part: NDArray[np.int64], labels: list[str]) -> Markup:
    count = len(labels)
    shares = part / np.maximum(part.sum(axis=1, keepdims=True), 1)
    cells = [
        _cell(row, column, int(part[row, column]), float(shares[row, column]), labels)
        for row in range(count)
        for column in range(count)
        if row < count - 1 or column < count - 1
    ]
    names = [name for position, label in enumerate(labels) for name in _names(position, _shorten(label))]
    width, height = _MARGIN_LEFT + count * _CELL_PX + 40, _MARGIN_TOP + count * _CELL_PX + 4
    return tag(
        "svg",
        tag("text", "true class", x=4, y=_MARGIN_TOP - 10, class_="axis"),
        tag("text", "predicted class", x=4, y=14, class_="axis"),
        *names,
        *cells,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        style=f"width:{width:.0f}px",
        role="img",
        aria_label="confusion matrix",
    )


def _cell(row: int, column: int, count: int, share: float, labels: list[str]) -> Markup:
    x, y = _MARGIN_LEFT + column * _CELL_PX, _MARGIN_TOP + row * _CELL_PX
    kind = "right" if row == column else "wrong"
    box = tag(
        "rect",
        tag("title", f"true {labels[row]}, predicted {labels[column]}: {count} ({share:.0%} of the row)"),
        x=x,
        y=y,
        width=_CELL_PX - 2,
        height=_CELL_PX - 2,
        rx=3,
        class_=f"cell {kind}",
        style=f"fill-opacity:{0.06 + 0.94 * share:.2f}",
    )
    if not count:
        return box
    bright = " bright" if share > 0.5 else ""
    center = {"x": x + _CELL_PX / 2 - 1, "y": y + _CELL_PX / 2 + 3}
    return join(box, tag("text", str(count), text_anchor="middle", class_=f"count{bright}", **center))


def _names(position: int, label: str) -> tuple[Markup, Markup]:
    along = position * _CELL_PX + _CELL_PX / 2
    x, y = _MARGIN_LEFT + along, _MARGIN_TOP - 8
    left = tag("text", label, x=_MARGIN_LEFT - 8, y=_MARGIN_TOP + along + 3, text_anchor="end")
    above = tag("text", label, x=x, y=y, transform=f"rotate(-45 {x:.0f} {y:.0f})")
    return left, above


def _largest(evaluation: Evaluation) -> Markup:
    matrix, names = evaluation.confusion.matrix[:-1, :-1].copy(), evaluation.dataset.class_names
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:10]
    pairs = [(int(row), int(column)) for row, column in zip(*np.unravel_index(order, matrix.shape), strict=True)]
    items = [
        tag("li", f"{names[row]} taken for {names[column]}: {matrix[row, column]}")
        for row, column in pairs
        if matrix[row, column]
    ]
    if not items:
        return tag("p", "No class is taken for another.", class_="note")
    return tag("div", tag("h3", "Largest confusions"), tag("ol", *items))


def _shorten(label: str) -> str:
    return label if len(label) <= _MAX_NAME_LENGTH else f"{label[: _MAX_NAME_LENGTH - 1]}…"

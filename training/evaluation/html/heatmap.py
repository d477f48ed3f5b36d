"""The confusion matrix as a heat map, and its largest confusions as a list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.evaluation.document import shown_classes
from training.evaluation.evaluation import Evaluation
from training.evaluation.html.markup import Markup, join, tag

_MOST_CLASSES = 16
_CELL, _MARGIN_LEFT, _MARGIN_TOP = 34.0, 120.0, 96.0
_LONGEST = 15


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
    return sorted(ranked[:_MOST_CLASSES])


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
    width, height = _MARGIN_LEFT + count * _CELL + 40, _MARGIN_TOP + count * _CELL + 4
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
    x, y = _MARGIN_LEFT + column * _CELL, _MARGIN_TOP + row * _CELL
    kind = "right" if row == column else "wrong"
    box = tag(
        "rect",
        tag("title", f"true {labels[row]}, predicted {labels[column]}: {count} ({share:.0%} of the row)"),
        x=x,
        y=y,
        width=_CELL - 2,
        height=_CELL - 2,
        rx=3,
        class_=f"cell {kind}",
        style=f"fill-opacity:{0.06 + 0.94 * share:.2f}",
    )
    if not count:
        return box
    bright = " bright" if share > 0.5 else ""
    centre = {"x": x + _CELL / 2 - 1, "y": y + _CELL / 2 + 3}
    return join(box, tag("text", str(count), text_anchor="middle", class_=f"count{bright}", **centre))


def _names(position: int, label: str) -> tuple[Markup, Markup]:
    along = position * _CELL + _CELL / 2
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
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"

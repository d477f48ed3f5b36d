"""The page: the headline figures, curves, errors, classes, confusions, speed, and how it was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from training.evaluation.document import shown_classes
from training.evaluation.evaluation import Evaluation
from training.evaluation.html.bars import draw_errors
from training.evaluation.html.curves import draw_curves
from training.evaluation.html.heatmap import draw_confusion
from training.evaluation.html.markup import Markup, decimal, join, tag
from training.evaluation.html.style import STYLE

_MEANING: Final = {
    "AP": "mean of IoU .50 to .95",
    "AP50": "IoU .50",
    "AP75": "IoU .75",
    "APs": "small objects, under 32² px",  # codespell:ignore
    "APm": "medium objects",
    "APl": "large objects, over 96² px",
    "AR1": "best recall, 1 detection per class and picture",
    "AR10": "10 detections",
    "AR100": "100 detections",
    "ARs": "100 detections, small objects",
    "ARm": "medium objects",
    "ARl": "large objects",
}


def render_page(evaluation: Evaluation, model: str) -> str:
    """Return the whole HTML document; it refers to nothing outside itself."""
    dataset = evaluation.dataset
    lead = (
        f"{dataset.source}{f', {dataset.split}' if dataset.split else ''}: {len(evaluation.images):,} pictures, "
        f"{evaluation.num_objects:,} objects, {evaluation.num_detections:,} detections"
    )
    body = tag(
        "main",
        tag("h1", f"Evaluation of {model}"),
        tag("p", lead, class_="lead"),
        _tiles(evaluation),
        tag("div", _curves(evaluation), _errors(evaluation), class_="grid2"),
        _section("Confusions", _confusion_note(evaluation), draw_confusion(evaluation)),
        tag("div", _twelve(evaluation), _speed(evaluation), class_="grid2"),
        _classes(evaluation),
        _method(evaluation),
    )
    head = tag(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", f"Evaluation of {model}"),
        tag("style", Markup(STYLE)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def _tiles(evaluation: Evaluation) -> Markup:
    shown = [(name, evaluation.coco.numbers[name], _MEANING[name]) for name in ("AP", "AP50", "AP75", "AR100")]
    tiles = [
        tag("div", tag("b", decimal(value)), tag("span", f"{name}, {what}"), class_="tile")
        for name, value, what in shown
    ]
    speed = evaluation.speed
    tiles.append(
        tag(
            "div",
            tag("b", f"{speed.network.median_ms:.1f} ms"),
            tag("span", "network, median per picture"),
            class_="tile",
        )
    )
    return tag("div", *tiles, class_="tiles")


def _section(title: str, *children: Markup) -> Markup:
    return tag("section", tag("h2", title), *children)


def _curves(evaluation: Evaluation) -> Markup:
    return _section("Precision and recall at IoU .50", draw_curves(evaluation))


def _errors(evaluation: Evaluation) -> Markup:
    note = "Gains of repairing one kind alone (TIDE); they do not add up. Counts are at the lowest score threshold."
    return _section("What the errors cost", draw_errors(evaluation.tide), tag("p", note, class_="note"))


def _confusion_note(evaluation: Evaluation) -> Markup:
    confusion = evaluation.confusion
    text = (
        f"Detections of score {confusion.score_threshold:g} or more, IoU {confusion.iou_threshold:g} or more. Each "
        "class is matched first by itself, as COCO does; what is left over is matched without classes. Background: "
        "missed objects (last column), detections of nothing (last row)."
    )
    return tag("p", text, class_="note")


def _twelve(evaluation: Evaluation) -> Markup:
    rows = [
        tag(
            "tr", tag("th", name, scope="row"), tag("td", _MEANING[name]), tag("td", decimal(value, 4), class_="figure")
        )
        for name, value in evaluation.coco.numbers.items()
    ]
    for name, value in (
        ("11-point", evaluation.voc.mean_11_point),
        ("all-point", evaluation.voc.mean_all_point),
    ):
        what = "VOC AP at IoU .50, darknet-compatible"
        rows.append(
            tag("tr", tag("th", name, scope="row"), tag("td", what), tag("td", decimal(value, 4), class_="figure"))
        )
    return _section("COCO's twelve numbers, and VOC's AP", tag("table", tag("tbody", *rows)))


def _speed(evaluation: Evaluation) -> Markup:
    speed = evaluation.speed
    stages = (
        ("read and decode the file", speed.read),
        ("place on the network's input", speed.place),
        ("network, decoding, suppression", speed.network),
        ("together", speed.total),
    )
    rows = [
        _row(name, (f"{stage.mean_ms:.1f}", f"{stage.median_ms:.1f}", f"{stage.p95_ms:.1f}")) for name, stage in stages
    ]
    table = _table(("ms per picture", "mean", "median", "95 %"), rows)
    note = f"{speed.pictures_per_second:.1f} pictures per second, batches of {evaluation.settings.batch_size}."
    return _section("Speed", table, tag("p", note, class_="note"))


def _classes(evaluation: Evaluation) -> Markup:
    coco, voc, confusion = evaluation.coco, evaluation.voc, evaluation.confusion
    rows = []
    for index in shown_classes(evaluation):
        values = (coco.ap50, voc.ap_11_point, voc.ap_all_point, confusion.precision, confusion.recall)
        cells = [f"{evaluation.dataset.objects_per_class[index]:,}", _meter(float(coco.ap[index]))]
        cells += [decimal(float(column[index])) for column in values]
        rows.append(_row(evaluation.dataset.class_names[index], cells))
    head = ("class", "objects", "AP", "AP50", "11-point", "all-point", "precision", "recall")
    note = (
        f"11-point and all-point are VOC's AP at IoU .50, darknet-compatible; precision and recall are at score "
        f"{confusion.score_threshold:g}."
    )
    table = tag("div", _table(head, rows), class_="scroll")
    return _section("Classes", table, tag("p", note, class_="note"))


def _method(evaluation: Evaluation) -> Markup:
    settings = evaluation.settings
    limits = (
        f"Score threshold {settings.score_threshold:g}, suppression at {settings.iou_threshold:g}, at most "
        f"{settings.max_detections} detections per picture."
    )
    lines = [
        limits,
        "COCO's numbers and the curves are computed by faster-coco-eval.",
        *(f"Left out, as no detection can match it: {label}" for label in evaluation.left_out),
    ]
    return _section("How it was measured", tag("ul", *(tag("li", line) for line in lines)))


def _meter(value: float) -> Markup:
    share = 0.0 if math.isnan(value) else value
    bar = tag("span", tag("i", style=f"width:{100 * share:.0f}%"), class_="meter")
    return join(Markup(decimal(value)), bar)


def _table(head: Sequence[str], rows: Sequence[Markup]) -> Markup:
    return tag("table", tag("thead", tag("tr", *(tag("th", name) for name in head))), tag("tbody", *rows))


def _row(name: str, cells: Sequence[str]) -> Markup:
    return tag("tr", tag("th", name, scope="row"), *(tag("td", cell, class_="figure") for cell in cells))

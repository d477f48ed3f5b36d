"""The HTML page of an evaluation: headline figures, curves, errors, classes, confusions, speed and method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from yoloscope.training.evaluation.evaluate import Evaluation
from yoloscope.training.evaluation.report.charts import draw_confusion, draw_curves, draw_errors
from yoloscope.training.evaluation.report.document import shown_classes
from yoloscope.training.evaluation.report.markup import Markup, decimal, join, tag

STYLE: Final = """
/* light or dark by the reader's system; fit for printing */
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1a202c; --soft: #64707f; --line: #e3e7ec;
  --accent: #2563eb; --wrong: #d9480f; --many: #a9b4c2;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #b8860b; --c5: #56b4e9; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1b212a; --ink: #e6eaf0; --soft: #94a1b2;
  --line: #2c3542; --accent: #6ea0ff; --wrong: #ff8a4c; --many: #566274; --c0: #4aa8e0; --c1: #ff8a4c; --c2: #35c79b;
  --c4: #e0b040; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 0 0 14px; } h3 { font-size: 14px; margin: 18px 0 6px; }
.lead { color: var(--soft); margin: 4px 0 24px; overflow-wrap: anywhere; }
.note, small { color: var(--soft); font-size: 13px; } .note:empty { display: none; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px; min-width: 0; }
.grid2 { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 18px; margin: 18px 0; }
.grid2 + section, section + section { margin-top: 18px; } .grid2 section + section { margin-top: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; margin-bottom: 18px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 18px; }
.tile b { display: block; font-size: 30px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--soft); font-size: 12.5px; } tbody tr:last-child > * { border-bottom: 0; }
tbody th small { display: block; line-height: 1.3; }
.figure, thead th:not(:first-child) { text-align: right; white-space: nowrap; } .wide { width: 34%; }
.bar { height: 12px; border-radius: 3px; background: var(--accent); min-width: 2px; }
.meter { display: inline-block; width: 64px; height: 7px; border-radius: 4px; background: var(--line);
  margin-left: 8px; text-align: left; } .meter i { display: block; height: 100%; border-radius: 4px;
  background: var(--accent); }
.scroll { overflow-x: auto; min-width: 0; } .beside { display: flex; flex-wrap: wrap; gap: 8px 40px; }
svg { width: 100%; height: auto; max-width: none; display: block; }
svg text { fill: var(--soft); font: 11.5px system-ui, sans-serif; } svg .axis { fill: var(--ink); }
svg .grid { stroke: var(--line); } .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.curve.many { stroke: var(--many); stroke-width: .9; } .curve:hover { stroke-width: 4; }
.curve.mean { stroke: var(--ink); stroke-width: 3.2; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px; margin: 8px 0 0 46px; }
.key { display: inline-block; width: 16px; height: 3px; border-radius: 2px; margin: 0 6px 3px 0; }
.key.mean { background: var(--ink); } .key.many { background: var(--many); }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); } .key.c0 { background: var(--c0); }
.key.c1 { background: var(--c1); } .key.c2 { background: var(--c2); } .key.c3 { background: var(--c3); }
.key.c4 { background: var(--c4); } .key.c5 { background: var(--c5); }
.cell.right { fill: var(--accent); } .cell.wrong { fill: var(--wrong); }
svg .count { fill: var(--ink); } svg .count.bright { fill: #fff; }
li { overflow-wrap: anywhere; }
@media print { body { background: #fff; } section { break-inside: avoid; } }
@media (max-width: 480px) { .grid2 { grid-template-columns: 1fr; } }
"""


_MEANING: Final = {
    "AP": "mean of IoU .50 to .95",
    "AP50": "IoU .50",
    "AP75": "IoU .75",
    "APs": "small objects, under 32² px",  # codespell:ignore
    "APm": "medium objects",
    "APl": "large objects, over 96² px",
    "AR1": "best recall, 1 detection per class and image",
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
        f"{dataset.source}{f', {dataset.split}' if dataset.split else ''}: {len(evaluation.images):,} images, "
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
    if evaluation.speed is not None:
        median = tag("b", f"{evaluation.speed.network.median_ms:.1f} ms")
        tiles.append(tag("div", median, tag("span", "network, median per image"), class_="tile"))
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
    if speed is None:
        return _section("Speed", tag("p", "not measured: the detections were read from a file", class_="note"))
    stages = (
        ("read and decode the file", speed.read),
        ("place on the network's input", speed.place),
        ("network, decoding, suppression", speed.network),
        ("together", speed.total),
    )
    rows = [
        _row(name, (f"{stage.mean_ms:.1f}", f"{stage.median_ms:.1f}", f"{stage.p95_ms:.1f}")) for name, stage in stages
    ]
    table = _table(("ms per image", "mean", "median", "95 %"), rows)
    note = f"{speed.images_per_second:.1f} images per second, batches of {evaluation.settings.batch_size}."
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
        f"{settings.max_detections} detections per image."
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

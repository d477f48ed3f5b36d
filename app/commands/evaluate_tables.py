"""An evaluation as tables on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from training.evaluation.document import shown_classes
from training.evaluation.evaluation import Evaluation
from training.evaluation.html.markup import decimal


def show_evaluation(evaluation: Evaluation, model: str, console: Console) -> None:
    """Print the headline, COCO's numbers, the classes, the kinds of error and the speed."""
    dataset = evaluation.dataset
    part = f" ({dataset.split})" if dataset.split else ""
    console.print(
        f"{model} on {dataset.source}{part}: {len(evaluation.images)} pictures, {evaluation.num_objects} objects",
        soft_wrap=True,
    )
    console.print(_numbers(evaluation))
    console.print(_classes(evaluation))
    console.print(_errors(evaluation))
    speed = evaluation.speed
    console.print(
        f"ms per picture: read {speed.read.median_ms:.1f}, place {speed.place.median_ms:.1f}, "
        f"network {speed.network.median_ms:.1f} (medians); {speed.pictures_per_second:.1f} pictures per second",
        soft_wrap=True,
    )
    for label in evaluation.left_out:
        console.print(f"left out, as no detection can match it: {label}", soft_wrap=True)


def _numbers(evaluation: Evaluation) -> Table:
    """Return precisions in one row and recalls in the next."""
    table = Table(title="COCO", title_justify="left", show_header=False)
    numbers = [f"{name} {decimal(value)}" for name, value in evaluation.coco.numbers.items()]
    table.add_row(*numbers[:6])
    table.add_row(*numbers[6:])
    return table


def _classes(evaluation: Evaluation) -> Table:
    coco, voc, confusion = evaluation.coco, evaluation.voc, evaluation.confusion
    threshold = confusion.score_threshold
    caption = f"11-pt and all-pt: VOC's AP, darknet-compatible; precision and recall at score {threshold:g}"
    table = Table(title="Classes", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("class")
    for name in ("objects", "AP", "AP50", "11-pt", "all-pt", "prec.", "recall"):
        table.add_column(name, justify="right")
    columns = (coco.ap, coco.ap50, voc.ap_11_point, voc.ap_all_point, confusion.precision, confusion.recall)
    for index in shown_classes(evaluation):
        values = (decimal(float(column[index])) for column in columns)
        table.add_row(evaluation.dataset.class_names[index], str(evaluation.dataset.objects_per_class[index]), *values)
    return table


def _errors(evaluation: Evaluation) -> Table:
    table = Table(title="Kinds of error (TIDE)", title_justify="left")
    table.add_column("kind")
    table.add_column("AP50 gained if repaired", justify="right")
    table.add_column("count", justify="right")
    for kind, gain in evaluation.tide.gains.items():
        table.add_row(kind, decimal(gain), str(evaluation.tide.counts[kind]))
    return table

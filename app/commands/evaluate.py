"""``yoloscope evaluate``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from app.commands.evaluate_tables import show_evaluation
from app.commands.evaluated_model import EvaluatedModel, open_model
from app.commands.options import DataOption, ModelOption, ModelsDirOption, ProviderOption, WeightsOption, one_model
from app.commands.progress import progress_bar
from app.settings import load_settings
from models.errors import ConfigError
from training.data.datasets import DetectionDataset, open_dataset
from training.evaluation.bootstrap import Interval, bootstrap
from training.evaluation.coco import detection_rows
from training.evaluation.document import to_document
from training.evaluation.evaluation import Evaluation
from training.evaluation.evaluation import evaluate as run_evaluation
from training.evaluation.html import render_page
from training.evaluation.prediction import Detector, PredictionSettings


def evaluate(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="Model: a name, an .onnx file, a checkpoint (.ckpt) or the folder of a run; same as --model.",
        ),
    ] = None,
    model: ModelOption = None,
    data: DataOption = None,
    split: Annotated[str | None, typer.Option(help="Part of the data set, such as test; default: all of it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, COCO's twelve numbers at its top.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with curves and confusions to this file.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write the detections to this file, in COCO's results format.")
    ] = None,
    score_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score that is counted.")] = 0.001,
    iou_threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Overlap that suppression allows; default: the model's own.")
    ] = None,
    max_detections: Annotated[int, typer.Option(min=1, help="Most detections per picture.")] = 100,
    confusion_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Least score in the confusion matrix, precision and recall.")
    ] = 0.25,
    batch: Annotated[int, typer.Option(min=1, help="Pictures per run of the network.")] = 1,
    resamples: Annotated[
        int | None, typer.Option(min=2, help="Give 95 % intervals of AP from that many draws of the pictures (200).")
    ] = None,
    provider: ProviderOption = None,
    models_dir: ModelsDirOption = None,
    weights: WeightsOption = None,
) -> None:
    """Measure how good a model is on labelled pictures.

    Classes go by name. Prints COCO's twelve numbers, AP per class, kinds of error and speed. For example:
    yoloscope evaluate yolov4-tiny --data coco --split val --html report.html
    or, of a run in training: yoloscope evaluate runs/bccd-tiny/best.ckpt --data bccd --split val
    """
    if data is None:
        raise ConfigError("--data: expected a data set, got none")
    settings = load_settings(model=one_model(name, model), provider=provider, models_dir=models_dir, weights=weights)
    dataset = open_dataset(data, split)
    chosen = open_model(settings)
    overlap = chosen.detector.spec.nms.iou_threshold if iou_threshold is None else iou_threshold
    wanted = PredictionSettings(score_threshold, overlap, max_detections, batch)
    evaluation = _run(chosen.detector, dataset, wanted, confusion_threshold)
    if html is not None:
        _write(html, render_page(evaluation, chosen.name))
    if predictions is not None:
        _write(predictions, json.dumps(detection_rows(evaluation.images, evaluation.dataset.category_ids)))
    _show(evaluation, chosen, _intervals(evaluation, resamples), as_json)


def _show(evaluation: Evaluation, chosen: EvaluatedModel, intervals: dict[str, Interval], as_json: bool) -> None:
    if as_json:
        named = {"model": {"name": chosen.name, "version": chosen.version, "provider": chosen.provider}}
        spread = {"intervals": {name: asdict(interval) for name, interval in intervals.items()}} if intervals else {}
        typer.echo(json.dumps(to_document(evaluation) | named | spread, indent=2, allow_nan=False))
        return
    show_evaluation(evaluation, chosen.name, Console(highlight=False, markup=False))
    for number, interval in intervals.items():
        typer.echo(
            f"{number}: 95 % of {interval.resamples} draws of the pictures in {interval.low:.3f} to "
            f"{interval.high:.3f}, standard deviation {interval.deviation:.3f}"
        )


def _intervals(evaluation: Evaluation, resamples: int | None) -> dict[str, Interval]:
    if resamples is None:
        return {}
    return bootstrap(evaluation.images, len(evaluation.dataset.class_names), resamples)


def _run(
    detector: Detector, dataset: DetectionDataset, settings: PredictionSettings, confusion_threshold: float
) -> Evaluation:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress_bar(*columns) as progress:
        task = progress.add_task("evaluating", total=len(dataset))
        return run_evaluation(
            detector,
            dataset,
            settings,
            confusion_threshold=confusion_threshold,
            progress=lambda done: progress.update(task, advance=done),
        )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")

"""``yoloscope evaluate``.

An evaluation as tables on the terminal.

What ``yoloscope evaluate`` measures: an artifact in onnxruntime, or a checkpoint of the trainer in torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from yoloscope.app.commands.common import open_runtime
from yoloscope.app.commands.options import (
    NO_DATA,
    ModelOption,
    ModelsDirOption,
    ProviderOption,
    RequiredDataOption,
    ShapesOption,
    WeightsOption,
    one_model,
    progress_bar,
)
from yoloscope.app.commands.outputs import OutputFiles
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.errors import ConfigError, ProviderError
from yoloscope.models.files import sha256, write_text
from yoloscope.training.checkpoint.files import CONFIG, named_checkpoint
from yoloscope.training.checkpoint.network import load_checkpoint_network
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.annotations import ShapePolicy
from yoloscope.training.data.datasets import DetectionDataset, list_splits, open_dataset
from yoloscope.training.data.datasets.files import same_split
from yoloscope.training.data.splits import open_held_out
from yoloscope.training.evaluation.coco import Interval, bootstrap, detection_rows
from yoloscope.training.evaluation.detectors import TorchDetector
from yoloscope.training.evaluation.evaluate import Evaluation, evaluate_results
from yoloscope.training.evaluation.evaluate import evaluate as run_evaluation
from yoloscope.training.evaluation.predict import ImageDetector, PredictionSettings
from yoloscope.training.evaluation.report import render_page
from yoloscope.training.evaluation.report.document import shown_classes, to_document
from yoloscope.training.evaluation.report.markup import decimal
from yoloscope.training.evaluation.results_file import read_results


def show_evaluation(evaluation: Evaluation, model: str, console: Console) -> None:
    """Print the headline, COCO's numbers, the classes, the kinds of error and the speed."""
    dataset = evaluation.dataset
    part = f" ({dataset.split})" if dataset.split else ""
    console.print(
        f"{model} on {dataset.source}{part}: {len(evaluation.images)} images, {evaluation.num_objects} objects",
        soft_wrap=True,
    )
    console.print(_numbers(evaluation))
    console.print(_classes(evaluation))
    console.print(_errors(evaluation))
    speed = evaluation.speed
    if speed is not None:
        console.print(
            f"ms per image: read {speed.read.median_ms:.1f}, place {speed.place.median_ms:.1f}, "
            f"network {speed.network.median_ms:.1f} (medians); {speed.images_per_second:.1f} images per second",
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
    table.add_column("class", overflow="fold")
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


@dataclass(frozen=True)
class EvaluatedModel:
    """Name of a detector in a report, and its device."""

    name: str
    version: str
    provider: str


def open_model(settings: Settings) -> tuple[EvaluatedModel, ImageDetector]:
    """Return the model that the settings name; an official one that is not there yet is pulled.

    ``named_checkpoint`` tells what names a checkpoint. Raises ModelNotFoundError, ModelLoadError, ProviderError,
    DownloadError or CheckpointError.
    """
    checkpoint = named_checkpoint(settings.model)
    if checkpoint is not None:
        return _open_checkpoint(checkpoint, settings)
    runtime = open_runtime(settings)
    return EvaluatedModel(runtime.path.stem, runtime.version, runtime.provider), runtime


def _open_checkpoint(path: Path, settings: Settings) -> tuple[EvaluatedModel, ImageDetector]:
    """Return a checkpoint's network in torch; on CUDA in full float32, as artifacts run."""
    device = _device(settings.provider)
    torch.set_num_threads(min(settings.threads, torch.get_num_threads()))
    torch.backends.cudnn.allow_tf32 = False
    network = load_checkpoint_network(path).to(device)
    detector = TorchDetector(network, network.spec, device)
    return EvaluatedModel(f"{path.resolve().parent.name}/{path.name}", sha256(path)[:12], device), detector


def _device(provider: str) -> str:
    if provider == "cuda" and not torch.cuda.is_available():
        raise ProviderError("expected a checkpoint to run on CUDA, got a torch that finds no GPU: choose auto or cpu")
    return "cpu" if provider == "cpu" or not torch.cuda.is_available() else "cuda"


ModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="Model: a name, an .onnx file, a checkpoint (.ckpt) or the folder of a run; same as --model.",
    ),
]
DetectionsOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Judge the detections in this file instead of a model's: COCO's results format, images by id or file "
        "name, categories by id or name.",
    ),
]


def evaluate(
    name: ModelArgument = None,
    model: ModelOption = None,
    data: RequiredDataOption = NO_DATA,
    split: Annotated[str | None, typer.Option(help="Part of the data set, such as test; default: all of it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, COCO's twelve numbers at its top.")] = False,
    detections: DetectionsOption = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with curves and confusions to this file.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write the detections to this file, in COCO's results format.")
    ] = None,
    score_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score that is counted.")] = 0.001,
    iou_threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Overlap that suppression allows; default: the model's own.")
    ] = None,
    max_detections: Annotated[int, typer.Option(min=1, help="Most detections per image.")] = 100,
    confusion_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Least score in the confusion matrix, precision and recall.")
    ] = 0.25,
    batch: Annotated[int, typer.Option(min=1, help="Images per run of the network.")] = 1,
    resamples: Annotated[
        int | None, typer.Option(min=2, help="Give 95 % intervals of AP from that many draws of the images (200).")
    ] = None,
    shapes: ShapesOption = "enclose",
    provider: ProviderOption = None,
    models_dir: ModelsDirOption = None,
    weights: WeightsOption = None,
) -> None:
    """Measure how good a model is on labeled images.

    Classes go by name. Prints COCO's twelve numbers, AP per class, kinds of error and speed. For example:
    yoloscope evaluate yolov4-tiny --data coco --split val --html report.html
    or, of a run in training: yoloscope evaluate runs/bccd-tiny/best.ckpt --data bccd --split val
    or, of any detector: yoloscope evaluate --detections results.json --data coco --split val
    Of a data set without val, --split val with the folder, a checkpoint or the model.onnx of a run means the images
    that this run held out.
    """
    if detections is not None and (name or model not in (None, os.environ.get("YOLOSCOPE_MODEL"))):
        raise ConfigError("--detections: expected a model or a file of detections, got both")
    settings = load_settings(model=one_model(name, model), provider=provider, models_dir=models_dir, weights=weights)
    dataset = open_evaluated(data, split, shapes, settings.model)
    dataset.log_notes()
    _claim_outputs(dataset, detections, {"--html": html, "--predictions": predictions})
    if detections is not None:
        chosen = EvaluatedModel(detections.name, sha256(detections)[:12], "file")
        results = read_results(detections, dataset, max_detections)
        evaluation = evaluate_results(results, dataset, confusion_threshold=confusion_threshold)
    else:
        chosen, detector = open_model(settings)
        overlap = detector.spec.nms.iou_threshold if iou_threshold is None else iou_threshold
        wanted = PredictionSettings(score_threshold, overlap, max_detections, batch)
        evaluation = _run(detector, dataset, wanted, confusion_threshold)
    if html is not None:
        write_text(html, render_page(evaluation, chosen.name))
        typer.echo(f"wrote {html}", err=True)
    if predictions is not None:
        write_text(predictions, json.dumps(detection_rows(evaluation.images, evaluation.dataset.category_ids)))
        typer.echo(f"wrote {predictions}", err=True)
    _show(evaluation, chosen, _intervals(evaluation, resamples), as_json)


def open_evaluated(data: Path, split: str | None, shapes: ShapePolicy, model: str | None) -> DetectionDataset:
    """Return the split; where there is no val, that of a run are the images that it held out."""
    folder = None if model is None else _run_folder(model)
    if folder is None or split is None or not same_split(split, "val"):
        return open_dataset(data, split, shapes=shapes)
    if any(same_split(split, name) for name in list_splits(data)):
        return open_dataset(data, split, shapes=shapes)
    config = TrainingConfig.load(folder / CONFIG)
    held = open_held_out(config, data)
    if held is None:
        return open_dataset(data, split, shapes=shapes)
    note = f"{split}: the {len(held)} images of {data} that the run in {folder} held out (seed {config.seed})"
    return replace(held, notes=(*held.notes, note))


def _run_folder(model: str) -> Path | None:
    """Return the folder of the run that a model's name stands for or whose file it is, None where there is none."""
    path = Path(model)
    folder = path if path.is_dir() else path.parent
    return folder if path.exists() and (folder / CONFIG).is_file() else None


def _claim_outputs(dataset: DetectionDataset, detections: Path | None, targets: Mapping[str, Path | None]) -> None:
    """Raise ConfigError where an output would replace a file of the data set or the detections."""
    files = (path for image in dataset.images for path in (image.path, image.label_path))
    outputs = OutputFiles(path for path in (dataset.source, detections, *files) if path is not None)
    for option, target in targets.items():
        if target is not None:
            outputs.claim_file(target, option)


def _show(evaluation: Evaluation, chosen: EvaluatedModel, intervals: dict[str, Interval], as_json: bool) -> None:
    if as_json:
        named = {"model": {"name": chosen.name, "version": chosen.version, "provider": chosen.provider}}
        spread = {"intervals": {name: asdict(interval) for name, interval in intervals.items()}} if intervals else {}
        typer.echo(json.dumps(to_document(evaluation) | named | spread, indent=2, allow_nan=False))
        return
    show_evaluation(evaluation, chosen.name, Console(highlight=False, markup=False))
    for number, interval in intervals.items():
        typer.echo(
            f"{number}: 95 % of {interval.resamples} draws of the images in {interval.low:.3f} to "
            f"{interval.high:.3f}, standard deviation {interval.deviation:.3f}"
        )


def _intervals(evaluation: Evaluation, resamples: int | None) -> dict[str, Interval]:
    if resamples is None:
        return {}
    return bootstrap(evaluation.images, len(evaluation.dataset.class_names), resamples)


def _run(
    detector: ImageDetector, dataset: DetectionDataset, settings: PredictionSettings, confusion_threshold: float
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

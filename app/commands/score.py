"""``yoloscope score``.

A loss report as tables in a terminal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from yoloscope.app.commands.common import open_runtime
from yoloscope.app.commands.options import (
    DataOption,
    ModelOption,
    ModelsDirOption,
    ProviderOption,
    WeightsOption,
    choice,
)
from yoloscope.app.commands.outputs import OutputFiles
from yoloscope.app.commands.score_data import print_ranking, score_dataset, show_ranking
from yoloscope.app.responses.drawing import encode_image
from yoloscope.app.responses.explanations import place_in_file
from yoloscope.app.responses.loss_maps import draw_term_maps
from yoloscope.app.responses.score import score_answer
from yoloscope.app.responses.score_tables import show_score
from yoloscope.app.services.image_scores import score_heads
from yoloscope.app.services.inference import EncodedImage, Timing, prepare
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.scoring import LabeledUpload, ScoreQuery, ScoreRun, read_labels
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.errors import ConfigError, ImageError, LabelError
from yoloscope.models.files import write_bytes
from yoloscope.models.images import decode_image
from yoloscope.training.data.annotations import LabelLimits, LabelsFormat
from yoloscope.training.data.datasets import find_label_names, open_dataset
from yoloscope.training.losses import get_preset
from yoloscope.training.losses.names import Detail

LABEL_LIMITS = LabelLimits(max_bytes=2**30)
"""A COCO file of a whole data set may be large; it is the caller's own."""


ImageArgument = Annotated[Path | None, typer.Argument(exists=True, dir_okay=False, help="Image file.")]
LabelsArgument = Annotated[
    Path | None, typer.Argument(exists=True, dir_okay=False, help="Its labels: YOLO, VOC, COCO or native.")
]


def score(
    image: ImageArgument = None,
    labels: LabelsArgument = None,
    model: ModelOption = None,
    data: DataOption = None,
    split: Annotated[str | None, typer.Option(help="Part of --data, such as train; default: all of it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="With --data: how many images and objects are listed.")] = 20,
    preset: Annotated[
        str | None, typer.Option(help="Loss, such as v3 or v4-darknet; default: the model's own.")
    ] = None,
    detail: Annotated[
        Detail, choice("--detail", get_args(Detail), "How far the loss is split (cells: with --json).")
    ] = "objects",
    labels_format: Annotated[
        LabelsFormat, choice("--labels-format", get_args(LabelsFormat), "Format of the labels.")
    ] = "auto",
    save: Annotated[Path | None, typer.Option(help="Write maps of the cost of every cell to this PNG file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as POST /v1/score answers.")] = False,
    provider: ProviderOption = None,
    models_dir: ModelsDirOption = None,
    weights: WeightsOption = None,
) -> None:
    """Split the loss of an image's labels by term, scale and object, and list what no label explains.

    The loss is the one the model was trained with, on the model's own outputs. Class ids of YOLO text are those of
    the classes.txt, .names, data.yaml or .data file beside it or above it, else the model's. For example:
    yoloscope score street.jpg street.txt --save street-loss.png
    With --data the images and objects of a whole data set are ranked by their loss; wrong labels are skipped and
    listed. For example: yoloscope score --data cells --model builtin --limit 50
    """
    query = _query(preset, detail, labels_format, save)
    settings = load_settings(model=model, provider=provider, models_dir=models_dir, weights=weights)
    if data is not None:
        if image is not None or save is not None:
            raise ConfigError("--data: expected a data set alone, got an image or --save with it")
        _score_data(data, split, query, limit, settings, as_json=as_json)
        return
    if image is None or labels is None:
        raise typer.BadParameter("expected an image and its labels, or --data")
    if save is not None:
        OutputFiles((image, labels)).claim(save, "--save")
    runtime = open_runtime(settings)
    run = _score(image, labels, runtime, query, settings)
    if save is not None:
        decoded = decode_image(image.read_bytes(), settings.image_limits)
        write_bytes(save, encode_image(draw_term_maps(run.results[0], decoded, image.name), "image/png"))
        typer.echo(f"wrote {save}", err=True)
    answer = score_answer(run)
    if as_json:
        typer.echo(answer.model_dump_json(exclude_none=True, indent=2))
    else:
        show_score(answer, Console(highlight=False, markup=False))


def _score_data(
    data: Path, split: str | None, query: ScoreQuery, limit: int, settings: Settings, *, as_json: bool
) -> None:
    """Rank a data set; the exit status is 1 where images could not be read."""
    dataset = open_dataset(data, split)
    dataset.log_notes()
    runtime = open_runtime(settings)
    ranking = score_dataset(dataset, runtime, query, limit)
    if as_json:
        print_ranking(ranking, runtime, query.preset or runtime.spec.loss.preset)
    else:
        show_ranking(ranking, runtime, Console(highlight=False, markup=False))
    if ranking.unread:
        typer.echo(f"yoloscope: {ranking.unread} images could not be read, see above", err=True)
        raise typer.Exit(1)


def _query(preset: str | None, detail: Detail, labels_format: LabelsFormat, save: Path | None) -> ScoreQuery:
    """Return the checked options."""
    if save is not None and save.suffix.lower() != ".png":
        raise ConfigError(f"--save: expected a name that ends in .png, got {save}")
    if save is not None and detail == "summary":
        raise ConfigError("--save: expected --detail objects or cells, got summary")
    return ScoreQuery(None, preset, detail, labels_format)


def _score(image: Path, labels: Path, runtime: Runtime, query: ScoreQuery, settings: Settings) -> ScoreRun:
    get_preset(query.preset, runtime.spec)
    timing = Timing()
    pair = LabeledUpload(EncodedImage(image.read_bytes()), labels.read_bytes(), image.name)
    try:
        prepared = prepare(pair.image.data, runtime.spec, settings.image_limits)
        named = find_label_names(labels) if query.labels_format in ("auto", "yolo") else None
        names = None if named is None else named[1]
        truth = read_labels(pair, prepared, runtime.spec, query.labels_format, LABEL_LIMITS, names)
    except ImageError as error:
        raise type(error)(f"{image}: {error}") from error
    except LabelError as error:
        lines = (f"  {place_in_file(problem.pointer)}: {problem.detail}" for problem in error.problems)
        faults = f"{len(error.problems)} {'fault' if len(error.problems) == 1 else 'faults'}"
        raise LabelError("\n".join((f"{labels}: {faults}", *lines)), error.problems) from error
    if truth.label_format == "yolo":
        source = "the model's own: no classes.txt or data.yaml near" if named is None else f"those of {named[0]}"
        typer.echo(f"class ids of {labels}: {source}", err=True)
    scored = score_heads(runtime.heads(prepared.placed[None]), prepared, truth, runtime.spec, query)
    return ScoreRun(runtime.path.stem, runtime, (scored,), timing)

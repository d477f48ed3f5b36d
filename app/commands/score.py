"""``yoloscope score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from app.commands.options import ModelOption, ModelsDirOption, ProviderOption, WeightsOption
from app.commands.runtime import open_runtime
from app.commands.score_tables import show_score
from app.schemas.score import LabelsFormat, ScoreDetail
from app.services.drawing import encode_picture
from app.services.heat_map import draw_term_maps
from app.services.images import ImageLimits
from app.services.inference import Timing, prepare
from app.services.runtime import Runtime
from app.services.score_answer import score_answer
from app.services.score_words import place_in_file
from app.services.scoring import LabelledPicture, ScoreQuery, ScoreRun, read_labels, score_heads, torch_threads
from app.settings import Settings, load_settings
from models.errors import ConfigError, ImageError, LabelError
from training.data.annotations import LabelLimits
from training.losses.resolve import resolve_preset

LABEL_LIMITS = LabelLimits(max_bytes=2**30)
"""A COCO file of a whole data set may be large; it is the caller's own."""


def score(
    picture: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Picture file.")],
    labels: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Its labels: YOLO, VOC, COCO or native.")],
    model: ModelOption = None,
    preset: Annotated[
        str | None, typer.Option(help="Loss, such as v3 or v4-darknet; default: the model's own.")
    ] = None,
    detail: Annotated[str, typer.Option(help="summary, objects or cells (cells: with --json).")] = "objects",
    labels_format: Annotated[str, typer.Option(help="yolo, voc, coco, native or auto.")] = "auto",
    save: Annotated[Path | None, typer.Option(help="Write maps of the cost of every cell to this PNG file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as POST /v1/score answers.")] = False,
    provider: ProviderOption = None,
    models_dir: ModelsDirOption = None,
    weights: WeightsOption = None,
) -> None:
    """Split the loss of a picture's labels by term, scale and object, and list what no label explains.

    The loss is the one the model was trained with, on the model's own outputs. For example:
    yoloscope score street.jpg street.txt --save street-loss.png
    """
    query = _query(preset, detail, labels_format, save)
    settings = load_settings(model=model, provider=provider, models_dir=models_dir, weights=weights)
    runtime = open_runtime(settings)
    run = _score(picture, labels, runtime, query, settings)
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_bytes(encode_picture(draw_term_maps(run.results[0], picture.name), "image/png"))
    answer = score_answer(run)
    if as_json:
        typer.echo(answer.model_dump_json(exclude_none=True, indent=2))
    else:
        show_score(answer, Console(highlight=False, markup=False))


def _query(preset: str | None, detail: str, labels_format: str, save: Path | None) -> ScoreQuery:
    """Return the checked options."""
    details: dict[str, ScoreDetail] = {name: name for name in get_args(ScoreDetail)}
    formats: dict[str, LabelsFormat] = {name: name for name in get_args(LabelsFormat)}
    if detail not in details:
        raise ConfigError(f"--detail: expected one of {', '.join(details)}, got {detail!r}")
    if labels_format not in formats:
        raise ConfigError(f"--labels-format: expected one of {', '.join(formats)}, got {labels_format!r}")
    if save is not None and save.suffix.lower() != ".png":
        raise ConfigError(f"--save: expected a name that ends in .png, got {save}")
    if save is not None and detail == "summary":
        raise ConfigError("--save: expected --detail objects or cells, got summary")
    return ScoreQuery(None, preset, details[detail], formats[labels_format], keep_pictures=save is not None)


def _score(picture: Path, labels: Path, runtime: Runtime, query: ScoreQuery, settings: Settings) -> ScoreRun:
    resolve_preset(query.preset, runtime.spec)
    limits = ImageLimits(settings.max_bytes, settings.max_pixels, settings.max_side)
    timing = Timing()
    with timing.stage("total"), torch_threads(settings.threads):
        pair = LabelledPicture(picture.read_bytes(), labels.read_bytes(), picture.name)
        try:
            prepared = prepare(pair.image, runtime.spec, limits, keep_picture=query.keep_pictures)
            truth = read_labels(pair, prepared, runtime.spec, query.labels_format, LABEL_LIMITS)
        except ImageError as error:
            raise type(error)(f"{picture}: {error}") from error
        except LabelError as error:
            lines = (f"  {place_in_file(problem.pointer)}: {problem.detail}" for problem in error.problems)
            faults = f"{len(error.problems)} {'fault' if len(error.problems) == 1 else 'faults'}"
            raise LabelError("\n".join((f"{labels}: {faults}", *lines)), error.problems) from error
        scored = score_heads(runtime.heads(prepared.placed[None]), prepared, truth, runtime.spec, query)
    return ScoreRun(runtime.path.stem, runtime, (scored,), timing.stages)

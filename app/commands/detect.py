"""``yoloscope detect``: every image is answered when it is done, and a bad one stops none of the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from yoloscope.app.commands.common import open_runtime
from yoloscope.app.commands.label_output import CropWriter, LabelWriter, WrittenFormat
from yoloscope.app.commands.options import ModelOption, ModelsDirOption, ProviderOption, WeightsOption, choice
from yoloscope.app.commands.outputs import OutputFiles, require_new_folder
from yoloscope.app.commands.sources import ImageSource, Source, VideoSource, find_sources
from yoloscope.app.commands.video import WRITTEN_SUFFIXES, FrameChoice, open_video, write_video
from yoloscope.app.responses.detect import native_rows
from yoloscope.app.responses.drawing import draw_detections, encode_image
from yoloscope.app.services.inference import DetectSettings, ImageDetections, infer, postprocess, prepare_decoded
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.errors import ConfigError, ImageError
from yoloscope.models.files import write_bytes
from yoloscope.models.images import DecodedImage

_SAVED_TYPES: Final = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


LabelsOption = Annotated[
    WrittenFormat | None,
    choice("--labels", get_args(WrittenFormat), "Write the detections as labels of this format into --output."),
]


def detect(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Image files, folders, patterns, lists of files (@list or list.txt), - for standard input, "
            "videos, the number of a camera, an rtsp:// address.",
        ),
    ],
    model: ModelOption = None,
    score_threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Least score shown; usually .25.")] = None,
    iou_threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Overlap allowed; usually .45.")] = None,
    max_detections: Annotated[int, typer.Option(min=1, help="Most detections per image.")] = 300,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Only this class (name or id); repeatable.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Write the annotated image (.jpg, .png) or video (.mp4) to this file, or those of several into this "
            "folder."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
    as_lines: Annotated[bool, typer.Option("--jsonl", help="Print a line of JSON for each image.")] = False,
    labels: LabelsOption = None,
    output: Annotated[Path | None, typer.Option(help="New or empty folder for --labels.")] = None,
    crop: Annotated[
        Path | None, typer.Option(help="Save each object as an image into this new or empty folder.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Of a video, take each n-th frame.")] = 1,
    frames: Annotated[int | None, typer.Option(min=1, help="Of a video, camera or stream, at most this many.")] = None,
    provider: ProviderOption = None,
    models_dir: ModelsDirOption = None,
    weights: WeightsOption = None,
) -> None:
    """Detect objects in images, without a server.

    Boxes are in pixels of the image as seen. An image that cannot be read is named, and the exit status is then 1. A
    saved image is named after its image (a.jpg, then a-2.jpg where that is taken): no file but an earlier result is
    replaced. Standard input is an image, or a list of files if its first line names one. For example:
    yoloscope detect dog.jpg --save dog-boxes.jpg
    yoloscope detect photos/ --jsonl --save annotated/
    """
    if as_json and as_lines:
        raise ConfigError("--jsonl: expected one of --json and --jsonl, got both")
    settings = load_settings(model=model, provider=provider, models_dir=models_dir, weights=weights)
    sources = find_sources(images)
    saving = Saving.plan(save, sources)
    runtime = open_runtime(settings)
    asked = DetectSettings.for_model(runtime.spec, score_threshold, iou_threshold, max_detections, classes or None)
    run = DetectionRun(runtime, asked, settings, saving, FrameChoice(every, frames))
    run.labels, run.crops = _label_writer(labels, output, runtime), _crop_writer(crop, runtime)
    if as_json:
        _show_json(run, sources)
    elif as_lines:
        _show_lines(run, sources)
    else:
        _show_tables(run, sources)
    _conclude(run, len(sources))


def _label_writer(written_format: WrittenFormat | None, output: Path | None, runtime: Runtime) -> LabelWriter | None:
    if (written_format is None) != (output is None):
        raise ConfigError("--labels: expected --labels and --output together, got one of them")
    if written_format is None or output is None:
        return None
    return LabelWriter(require_new_folder(output, "--output"), written_format, runtime.spec.class_names)


def _crop_writer(crop: Path | None, runtime: Runtime) -> CropWriter | None:
    return None if crop is None else CropWriter(require_new_folder(crop, "--crop"), runtime.spec.class_names)


@dataclass(frozen=True)
class Saving:
    """Target of annotated images: a folder or one file."""

    target: Path | None
    is_folder: bool
    outputs: OutputFiles

    @classmethod
    def plan(cls, save: Path | None, sources: list[Source]) -> Saving:
        """Check ``--save`` before any work is done; raise ConfigError for a name that is taken or of another kind."""
        outputs = OutputFiles(source.path for source in sources if source.path is not None)
        if save is None or save.is_dir():
            return cls(save, save is not None, outputs)
        suffix = save.suffix.lower()
        if len(sources) > 1 and (save.exists() or suffix in (*_SAVED_TYPES, *WRITTEN_SUFFIXES)):
            raise ConfigError(f"--save: expected a folder for {len(sources)} images, got the file {save}")
        if len(sources) > 1:
            return cls(save, True, outputs)
        expected = WRITTEN_SUFFIXES if isinstance(sources[0], VideoSource) else tuple(_SAVED_TYPES)
        if suffix not in expected:
            raise ConfigError(f"--save: expected a name that ends in {', '.join(expected)}, or a folder, got {save}")
        return cls(outputs.claim(save, "--save"), False, outputs)

    def path_for(self, source: Source) -> Path | None:
        """Return where the annotated image of a source goes, None for nowhere."""
        if self.target is None or not self.is_folder:
            return self.target
        return self.outputs.name_in(self.target, source.stem, ".mp4" if isinstance(source, VideoSource) else ".jpg")


@dataclass(frozen=True)
class Answer:
    """The detections of one image, in its pixels, and where it was saved; or why it could not be read."""

    source: Source
    found: ImageDetections | None = None
    saved: Path | None = None
    error: str | None = None


@dataclass
class DetectionRun:
    """A model at work on one source after another."""

    runtime: Runtime
    asked: DetectSettings
    settings: Settings
    saving: Saving
    frames: FrameChoice
    num_images: int = 0
    failures: list[ImageError] = field(default_factory=list)
    labels: LabelWriter | None = None
    crops: CropWriter | None = None

    def answers(self, sources: list[Source]) -> Iterator[Answer]:
        """Yield the answer of each image and frame as soon as it is there."""
        for source in sources:
            try:
                if isinstance(source, ImageSource):
                    self.num_images += 1
                    yield self._detect_image(source)
                else:
                    yield from self._detect_video(source)
            except ImageError as error:
                named = type(error)(f"{source.name}: {error}")
                self.failures.append(named)
                if len(sources) > 1:
                    typer.echo(f"yoloscope: {named}", err=True)
                yield Answer(source, error=str(error))

    def _detect_image(self, source: ImageSource) -> Answer:
        image, found = self._detect(source)
        target = self.saving.path_for(source)
        if target is not None:
            write_bytes(target, encode_image(self._draw(image, found), _SAVED_TYPES[target.suffix.lower()]))
            typer.echo(f"wrote {target}", err=True)
        return Answer(source, found, target)

    def _detect_video(self, source: VideoSource) -> Iterator[Answer]:
        target = self.saving.path_for(source)
        video = open_video(source)
        with write_video(target, video.frames_per_second / self.frames.every) as write:
            for frame in video.frames(self.frames):
                self.num_images += 1
                image, found = self._detect(frame)
                if target is not None:
                    write(np.asarray(self._draw(image, found)))
                yield Answer(frame, found)
        if target is not None:
            typer.echo(f"wrote {target}", err=True)

    def _detect(self, source: ImageSource) -> tuple[DecodedImage, ImageDetections]:
        image = source.decode(self.settings.image_limits)
        prepared = prepare_decoded(image, self.runtime.spec)
        found = postprocess(prepared, infer(self.runtime, [prepared], [self.asked])[0], self.asked)
        if self.labels is not None:
            self.labels.add(source.name, source.stem, found)
        if self.crops is not None:
            self.crops.add(source.stem, image, found)
        return image, found

    def _draw(self, image: DecodedImage, found: ImageDetections) -> Image.Image:
        return draw_detections(image, found.detections, self.runtime.spec.class_names)


def _conclude(run: DetectionRun, num_sources: int) -> None:
    """Turn bad images into the exit status: the error itself where there was no other image."""
    if run.labels is not None:
        run.labels.finish()
        typer.echo(
            f"wrote the labels of {run.num_images - len(run.failures)} images into {run.labels.folder}", err=True
        )
    if run.crops is not None:
        typer.echo(f"wrote the objects into {run.crops.folder}", err=True)
    if not run.failures:
        return
    if num_sources == 1:
        raise run.failures[0]
    typer.echo(f"yoloscope: {len(run.failures)} of {num_sources} images could not be read, see above", err=True)
    raise typer.Exit(1)


def _document(answer: Answer, run: DetectionRun) -> dict[str, Any]:
    """Return an answer as JSON values."""
    if answer.found is None:
        return {"file": answer.source.name, "error": answer.error}
    found, names = answer.found, run.runtime.spec.class_names
    document: dict[str, Any] = {
        "file": answer.source.name,
        **_frame(answer.source),
        "image": {"width": found.width, "height": found.height},
        "detections": [row.model_dump() for row in native_rows(found.detections, names)],
    }
    return document if answer.saved is None else document | {"saved": str(answer.saved)}


def _show_json(run: DetectionRun, sources: list[Source]) -> None:
    """Print one document, result by result; images that could not be read are listed in ``errors``."""
    head = json.dumps({"model": run.runtime.path.stem, "version": run.runtime.version})
    typer.echo(f'{head[:-1]}, "results": [', nl=False)
    separator, errors = "\n", []
    for answer in run.answers(sources):
        document = _document(answer, run)
        if answer.error is not None:
            errors.append(document)
            continue
        typer.echo(separator + json.dumps(document, indent=2), nl=False)
        separator = ",\n"
    typer.echo(f'\n], "errors": {json.dumps(errors, indent=2)}}}')


def _show_lines(run: DetectionRun, sources: list[Source]) -> None:
    for answer in run.answers(sources):
        typer.echo(json.dumps(_document(answer, run)))


def _frame(source: Source) -> dict[str, Any]:
    frame = source.frame if isinstance(source, ImageSource) else None
    return {} if frame is None else {"frame": frame.number, "time_s": frame.time_s}


def _title(source: Source) -> str:
    frame = _frame(source)
    return f"{source.name} frame {frame['frame']} at {frame['time_s']:.2f} s" if frame else source.name


def _show_tables(run: DetectionRun, sources: list[Source]) -> None:
    console = Console(highlight=False)
    for answer in run.answers(sources):
        if answer.found is None:
            continue
        console.print(
            f"{_title(answer.source)} ({answer.found.width}x{answer.found.height})", soft_wrap=True, markup=False
        )
        rows = native_rows(answer.found.detections, run.runtime.spec.class_names)
        if not rows:
            console.print("nothing found")
            continue
        table = Table()
        table.add_column("class")
        for column in ("score", "x1", "y1", "x2", "y2"):
            table.add_column(column, justify="right")
        for row in rows:
            corners = (f"{value:.1f}" for value in (row.box.x1, row.box.y1, row.box.x2, row.box.y2))
            table.add_row(row.class_name, f"{row.score:.3f}", *corners)
        console.print(table)

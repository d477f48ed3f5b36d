"""``yoloscope detect``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from yoloscope.app.commands.common import open_runtime
from yoloscope.app.commands.options import ModelOption, ModelsDirOption, ProviderOption, WeightsOption
from yoloscope.app.responses.detect import native_rows
from yoloscope.app.responses.drawing import draw_detections, encode_image
from yoloscope.app.services.detection import DetectQuery, settings_for
from yoloscope.app.services.inference import DetectSettings, ImageDetections, infer, postprocess, prepare
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.errors import ConfigError, YoloscopeError
from yoloscope.models.files import write_bytes
from yoloscope.models.images import ImageLimits

_SAVED_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


def detect(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", exists=True, dir_okay=False, help="Image files.")],
    model: ModelOption = None,
    score_threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Least score shown; usually .25.")] = None,
    iou_threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Overlap allowed; usually .45.")] = None,
    max_detections: Annotated[int, typer.Option(min=1, help="Most detections per image.")] = 300,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Only this class (name or id); repeatable.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the annotated image here; for several images, a folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    provider: ProviderOption = None,
    models_dir: ModelsDirOption = None,
    weights: WeightsOption = None,
) -> None:
    """Detect objects in images, without a server.

    Boxes are in pixels of the image as seen. For example:
    yoloscope detect dog.jpg --save dog-boxes.jpg
    """
    settings = load_settings(model=model, provider=provider, models_dir=models_dir, weights=weights)
    targets = _save_targets(images, save)
    runtime = open_runtime(settings)
    query = DetectQuery(None, score_threshold, iou_threshold, max_detections, tuple(classes) if classes else None)
    asked = settings_for(query, runtime)
    results = [
        _detect_one(path, target, runtime, asked, settings) for path, target in zip(images, targets, strict=True)
    ]
    _show_json(runtime, images, results) if as_json else _show_table(runtime, images, results)


def _detect_one(
    path: Path, target: Path | None, runtime: Runtime, asked: DetectSettings, settings: Settings
) -> ImageDetections:
    """Detect in one file and write its annotated image; the result is without the pixels."""
    limits = ImageLimits(settings.max_bytes, settings.max_pixels, settings.max_side)
    try:
        prepared = prepare(path.read_bytes(), runtime.spec, limits, keep_image=target is not None)
    except YoloscopeError as error:
        raise type(error)(f"{path}: {error}") from error
    found = postprocess(prepared, infer(runtime, [prepared], asked, max_batch=1)[0], asked)
    if found.image is not None and target is not None:
        image = draw_detections(found.image, found.detections, runtime.spec.class_names)
        write_bytes(target, encode_image(image, _SAVED_TYPES[target.suffix.lower()]))
    return replace(found, image=None)


def _save_targets(images: list[Path], save: Path | None) -> list[Path | None]:
    """Return where each annotated image goes; checked before any work is done."""
    if save is None:
        return [None] * len(images)
    if save.is_dir() or len(images) > 1:
        if save.exists() and not save.is_dir():
            raise ConfigError(f"--save: expected a folder for {len(images)} images, got the file {save}")
        return [save / f"{path.stem}.jpg" for path in images]
    if save.suffix.lower() not in _SAVED_TYPES:
        raise ConfigError(f"--save: expected a name that ends in .jpg or .png, or a folder, got {save}")
    return [save]


def _show_json(runtime: Runtime, images: list[Path], results: list[ImageDetections]) -> None:
    document: dict[str, Any] = {
        "model": runtime.path.stem,
        "version": runtime.version,
        "results": [
            {
                "file": str(path),
                "image": {"width": found.width, "height": found.height},
                "detections": [row.model_dump() for row in native_rows(found.detections, runtime.spec.class_names)],
            }
            for path, found in zip(images, results, strict=True)
        ],
    }
    typer.echo(json.dumps(document, indent=2))


def _show_table(runtime: Runtime, images: list[Path], results: list[ImageDetections]) -> None:
    console = Console(highlight=False)
    for path, found in zip(images, results, strict=True):
        console.print(f"{path} ({found.width}x{found.height})", soft_wrap=True, markup=False)
        if not found.detections:
            console.print("nothing found")
            continue
        table = Table()
        table.add_column("class")
        for column in ("score", "x1", "y1", "x2", "y2"):
            table.add_column(column, justify="right")
        for row in native_rows(found.detections, runtime.spec.class_names):
            corners = (f"{value:.1f}" for value in (row.box.x1, row.box.y1, row.box.x2, row.box.y2))
            table.add_row(row.class_name, f"{row.score:.3f}", *corners)
        console.print(table)

"""``yoloscope pull``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from yoloscope.app.commands.options import ModelsDirOption, WeightsOption
from yoloscope.app.conversion import convert_official
from yoloscope.app.hub import official_name
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.errors import OutputError
from yoloscope.models.locks import hold_lock
from yoloscope.models.scratch import scratch_folder
from yoloscope.models.zoo.download import download, find_weights
from yoloscope.models.zoo.official import OFFICIAL, OfficialWeights


def pull(
    name: Annotated[str, typer.Argument(help=f"Official model: {', '.join(OFFICIAL)}.")] = "yolov4-tiny",
    models_dir: ModelsDirOption = None,
    weights: WeightsOption = None,
    force: Annotated[bool, typer.Option("--force", help="Convert again even if it is there.")] = False,
) -> None:
    """Fetch an official model, convert it to ONNX and keep it in the models folder.

    Without a network: put the official .weights file into a folder and name it by --weights or YOLOSCOPE_WEIGHTS.
    """
    settings = load_settings(models_dir=models_dir, weights=weights)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    official = official_name(name, settings)
    target = settings.models_dir / f"{name}.onnx"
    if target.is_file() and not force:
        console.print(f"{name} is there already: {target}")
        return
    try:
        settings.models_dir.mkdir(parents=True, exist_ok=True)
        with hold_lock(
            target.with_name(f".{name}.lock"), lambda: console.print(f"another process pulls {name}: waiting")
        ):
            if force or not target.is_file():
                _pull(official, settings, target, console)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    console.print(f"{name} is ready: {target}")


def _pull(official: OfficialWeights, settings: Settings, target: Path, console: Console) -> None:
    with scratch_folder(settings.models_dir) as scratch:
        found = _obtain(official, settings, scratch, console)
        console.print(f"converting {found}")
        console.print(str(convert_official(official, found, target)))


def _obtain(official: OfficialWeights, settings: Settings, scratch: Path, console: Console) -> Path:
    """Return the official weights from the weights folder, else from the network."""
    if settings.weights is not None:
        found = find_weights(official, settings.weights)
        if found is not None:
            return found
        console.print(f"{official.file_name} ({official.size} bytes) is not in {settings.weights}")
    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(official.url, total=official.size)
        return download(official, scratch / official.file_name, lambda count: progress.advance(task, count))

"""``yoloscope import-darknet``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from yoloscope.app.commands.options import ModelsDirOption
from yoloscope.app.hub import convert_darknet
from yoloscope.app.settings import load_settings
from yoloscope.models.errors import ConfigError


def import_darknet(
    cfg: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Darknet's network description, .cfg.")],
    weights: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Its trained weights, .weights.")],
    names: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Class names, one per line, .names.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The .onnx to write; default: into the models folder.")
    ] = None,
    models_dir: ModelsDirOption = None,
) -> None:
    """Convert a darknet model to the one ONNX file that is served.

    What of the cfg has no effect is listed, and the result is compared with the network it came from. For example:
    yoloscope import-darknet my.cfg my.weights --names my.names, then: yoloscope serve --model my
    """
    target = output or load_settings(models_dir=models_dir).models_dir / f"{cfg.stem}.onnx"
    if target.suffix != ".onnx":
        raise ConfigError(f"--output: expected a name that ends in .onnx, got {target}")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output: expected a folder to write into, got {error}") from error
    report, notices = convert_darknet(cfg, weights, names, target)
    for notice in notices:
        console.print(f"note: {notice}", markup=False)
    console.print(f"{report}\n{target} is ready: yoloscope serve --model {_as_model(target, output)}", markup=False)


def _as_model(target: Path, output: Path | None) -> str:
    return target.stem if output is None else str(target)

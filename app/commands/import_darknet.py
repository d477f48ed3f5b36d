"""``yoloscope import-darknet``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from yoloscope.app.commands.options import ModelsDirOption, SizeOption, parse_size
from yoloscope.app.commands.outputs import OutputFiles
from yoloscope.app.conversion import convert_darknet
from yoloscope.app.hub import require_free_name
from yoloscope.app.settings import load_settings
from yoloscope.models.errors import ConfigError
from yoloscope.models.files import sha256

DIFFERS: Final = 3
"""Exit status where the artifact is written but differs from the network in torch."""


def import_darknet(
    cfg: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Darknet's network description, .cfg.")],
    weights: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Its trained weights, .weights.")],
    names: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Class names, one per line, or a .data file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The .onnx to write; default: into the models folder.")
    ] = None,
    size: SizeOption = None,
    models_dir: ModelsDirOption = None,
) -> None:
    """Convert a darknet model to the one ONNX file that is served.

    What of the cfg has no effect is listed, and the result is compared with the network it came from. Where the two
    differ beyond rounding the file is written all the same and the exit status is 3. For example:
    yoloscope import-darknet my.cfg my.weights --names my.names, then: yoloscope serve --model my
    """
    if (cfg.suffix, weights.suffix) == (".weights", ".cfg"):
        raise ConfigError(f"the cfg comes first and the weights second, got {cfg} and {weights}")
    models = load_settings(models_dir=models_dir).models_dir
    target = output or models / f"{cfg.stem}.onnx"
    if target.suffix != ".onnx":
        raise ConfigError(f"--output: expected a name that ends in .onnx, got {target}")
    OutputFiles((cfg, weights)).claim_file(target, "--output")
    require_free_name(target, models, weights)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    replaced = sha256(target)[:12] if target.is_file() else None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"{target.parent}: {error.strerror}"
        raise ConfigError(f"--output: expected a folder to write into, got {got}") from error
    report, notices = convert_darknet(cfg, weights, names, target, None if size is None else parse_size(size))
    for notice in notices:
        console.print(f"note: {notice}", markup=False)
    if replaced is not None:
        console.print(f"{target}: version {replaced} is replaced by {sha256(target)[:12]}", markup=False)
    command = f"yoloscope serve --model {shlex.quote(target.stem if output is None else str(target))}"
    console.print(f"{report}\n{target} is ready: {command}", markup=False)

    if report.differences:
        raise typer.Exit(DIFFERS)

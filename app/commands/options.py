"""Options that several commands share.

The option ``--accelerator`` of the commands that train.

The progress bars of the commands.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn

from yoloscope.models.errors import ConfigError

Accelerator = Literal["auto", "cpu", "gpu"]
AcceleratorOption = Annotated[str, typer.Option(help="auto, cpu or gpu.")]

_KNOWN: Final[dict[str, Accelerator]] = {"auto": "auto", "cpu": "cpu", "gpu": "gpu"}


def accelerator_of(name: str) -> Accelerator:
    """Return the accelerator of a name; raise ConfigError for another name."""
    if name not in _KNOWN:
        raise ConfigError(f"--accelerator: expected auto, cpu or gpu, got {name!r}")
    return _KNOWN[name]


def progress_bar(*columns: ProgressColumn, console: Console | None = None) -> Progress:
    """Return a bar on standard error that is gone when it is done, and not there at all where nobody watches."""
    return Progress(*columns, console=console or Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Model: builtin, a name in the models folder, an official one, or an .onnx file; "
        "default: yolov4-tiny, or builtin where that is out of reach.",
        envvar="YOLOSCOPE_MODEL",
    ),
]
ModelsDirOption = Annotated[
    Path | None, typer.Option(help="Folder of converted models.", envvar="YOLOSCOPE_MODELS_DIR")
]
ProviderOption = Annotated[
    str | None,
    typer.Option(help="auto, cuda or cpu; cuda means CUDA or an error.", envvar="YOLOSCOPE_PROVIDER"),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(help="Folder searched for official darknet weights before downloading.", envvar="YOLOSCOPE_WEIGHTS"),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Data set: a folder (COCO, VOC, YOLO), or its .json, .yaml or .data file.")
]
ShapesOption = Annotated[
    Literal["enclose", "refuse"],
    typer.Option(help="Polygons, masks and boxes with a score: read as the boxes that enclose them, or refused."),
]


def one_model(argument: str | None, option: str | None) -> str | None:
    """Return the model named by an argument, by ``--model`` or by both alike; raise ConfigError where they differ."""
    if argument is not None and option is not None and argument != option:
        raise ConfigError(f"--model: expected one model, got {argument!r} and {option!r}")
    return argument or option

"""Options that several commands share, and the bar that shows how far a command is."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn

from yoloscope.app.services.sessions import Provider
from yoloscope.models.errors import ConfigError

Accelerator = Literal["auto", "cpu", "gpu"]


def choice(option: str, choices: Sequence[str], help_text: str, **settings: Any) -> Any:  # noqa: ANN401 (as typer.Option)
    """Return an option of a few values, shown in ``--help`` and completed by the shell; another raises ConfigError."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ConfigError(f"{option}: expected one of {', '.join(choices)}, got {text!r}")
        return text

    return _listed(option, choices, help_text, parse, **settings)


def _listed(
    option: str,
    choices: Sequence[str],
    help_text: str,
    parse: Callable[[str], str],
    **settings: Any,  # noqa: ANN401 (as typer.Option)
) -> Any:  # noqa: ANN401 (as typer.Option)
    def complete(incomplete: str) -> list[str]:
        return [name for name in choices if name.startswith(incomplete)]

    return typer.Option(
        option, parser=parse, metavar=f"<{'|'.join(choices)}>", autocompletion=complete, help=help_text, **settings
    )


def progress_bar(*columns: ProgressColumn, console: Console | None = None) -> Progress:
    """Return a transient bar on standard error; it is disabled where standard error is no terminal."""
    return Progress(*columns, console=console or Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _require_data(context: typer.Context, data: Path) -> Path:
    if data == NO_DATA and not context.resilient_parsing:
        raise ConfigError("--data: expected a data set, got none")
    return data


_DATA_HELP: Final = "Data set: a folder (COCO, VOC, YOLO), or its .json, .yaml or .data file"
NO_DATA: Final = Path("/dev/null/none")
"""Default of ``RequiredDataOption``, a path that no file can have."""

AcceleratorOption = Annotated[str, _listed("--accelerator", get_args(Accelerator), "Where to train.", str)]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Model: builtin, a name in the models folder, an official one, or an .onnx file (yoloscope models lists "
        "them); default: yolov4-tiny, or builtin where that cannot be downloaded.",
        envvar="YOLOSCOPE_MODEL",
    ),
]
ModelsDirOption = Annotated[
    Path | None, typer.Option(help="Folder of converted models.", envvar="YOLOSCOPE_MODELS_DIR")
]
ProviderOption = Annotated[
    str | None,
    _listed("--provider", get_args(Provider), "cuda means CUDA or an error.", str, envvar="YOLOSCOPE_PROVIDER"),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(help="Folder searched for official darknet weights before downloading.", envvar="YOLOSCOPE_WEIGHTS"),
]
SizeOption = Annotated[
    str | None, typer.Option("--size", metavar="WxH|N", help="Input of the network in pixels, as 416x320 or 416.")
]
DataOption = Annotated[Path | None, typer.Option("--data", help=f"{_DATA_HELP}.")]
RequiredDataOption = Annotated[
    Path, typer.Option("--data", help=f"{_DATA_HELP} [required].", callback=_require_data, show_default=False)
]
ShapesOption = Annotated[
    Literal["enclose", "refuse"],
    typer.Option(help="Polygons, masks and boxes with a score: read as the boxes that enclose them, or refused."),
]


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """Return width and height of ``416x320``, or of ``320`` for a square; raise ConfigError."""
    sides = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if sides is None:
        raise ConfigError(f"{option}: expected WIDTHxHEIGHT or one number in pixels, as 416x320 or 416, got {text!r}")
    return int(sides[1]), int(sides[2] or sides[1])


def accelerator_of(name: str) -> Accelerator:
    """Return the accelerator of a name; raise ConfigError for another name."""
    known: dict[str, Accelerator] = {"auto": "auto", "cpu": "cpu", "gpu": "gpu"}
    if name not in known:
        raise ConfigError(f"--accelerator: expected auto, cpu or gpu, got {name!r}")
    return known[name]


def one_model(argument: str | None, option: str | None) -> str | None:
    """Return the model named by an argument, by ``--model`` or by both alike; raise ConfigError where they differ.

    An argument has priority over YOLOSCOPE_MODEL, from which ``option`` comes where ``--model`` is not given.
    """
    given = option if option != os.environ.get("YOLOSCOPE_MODEL") else None
    if argument is not None and given is not None and argument != given:
        raise ConfigError(f"--model: expected one model, got {argument!r} and {option!r}")
    return argument or option

"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.errors import ConfigError

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


def one_model(argument: str | None, option: str | None) -> str | None:
    """Return the model named by an argument, by ``--model`` or by both alike; raise ConfigError where they differ."""
    if argument is not None and option is not None and argument != option:
        raise ConfigError(f"--model: expected one model, got {argument!r} and {option!r}")
    return argument or option

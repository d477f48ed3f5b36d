"""``yoloscope train``.

The option that names a training configuration, apart from those that the server's command needs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from yoloscope.app.commands.options import AcceleratorOption, DataOption, accelerator_of
from yoloscope.models.errors import ConfigError, YoloscopeError
from yoloscope.training.checkpoint.files import CONFIG
from yoloscope.training.config import TrainingConfig, config_names, find_config
from yoloscope.training.logs import log_to_stderr
from yoloscope.training.train import TrainResult, is_first
from yoloscope.training.train import train as train_detector
from yoloscope.training.trainer import DeviceConfig
from yoloscope.training.visualize.augmentations import write_freebies, write_preview

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help=f"YAML file, or a configuration that comes along: {', '.join(config_names())}."),
]


def train(
    data: DataOption = None,
    config: ConfigOption = None,
    network: Annotated[str | None, typer.Option(help="Network, as yolov4-tiny; overrides the configuration.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; overrides the configuration.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the run; default: runs/ and the configuration's or network's name.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --output where it stopped.")] = False,
    show_batch: Annotated[
        Path | None, typer.Option(help="Write the first augmented images to this PNG file and end.")
    ] = None,
    show_augmentations: Annotated[
        Path | None,
        typer.Option(
            "--show-augmentations",
            "--show-bags",
            help="Write an image of what each augmentation and other freebie does into this folder and end.",
        ),
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes (GPUs) on each machine.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines, each started by torchrun or another launcher.")] = 1,
    accelerator: AcceleratorOption = "auto",
) -> None:
    """Train a detector on your own images and write one ONNX file.

    Ctrl-C or SIGTERM ends after the step at hand; --resume goes on from there, bit for bit. Then serve the result:
    yoloscope serve --model RUN/model.onnx. For example: yoloscope train --data bccd --config bccd-tiny
    """
    if data is None:
        raise ConfigError("--data: expected a data set, got none")
    folder = output or Path("runs") / (network or Path(config or TrainingConfig().network).stem)
    settings = _settings(config, network, epochs, folder if resume else None)
    if show_batch is not None:
        write_preview(settings, data, show_batch)
        _tell(f"wrote {show_batch}")
    if show_augmentations is not None:
        _tell(f"wrote {len(write_freebies(settings, data, show_augmentations))} images into {show_augmentations}")
    if show_batch is not None or show_augmentations is not None:
        return
    try:
        with log_to_stderr():
            result = train_detector(
                settings,
                data,
                folder,
                resume=resume,
                machine=DeviceConfig(devices, nodes, accelerator_of(accelerator)),
                progress_bar=sys.stderr.isatty(),
            )
    except YoloscopeError as error:
        if is_first():
            raise
        raise typer.Exit(1) from error
    _conclude(result, folder)


def _settings(config: str | None, network: str | None, epochs: int | None, resumed: Path | None) -> TrainingConfig:
    changes = {key: value for key, value in (("network", network), ("epochs", epochs)) if value is not None}
    if resumed is None:
        chosen = TrainingConfig() if config is None else find_config(config)
        return chosen.replace(**changes)
    if changes or config is not None:
        raise ConfigError("--resume continues with the configuration of the run: leave --config, --network, --epochs")
    if not (resumed / CONFIG).is_file():
        raise ConfigError(f"--resume: expected a run in {resumed}, got no {CONFIG} there")
    return TrainingConfig.load(resumed / CONFIG)


def _conclude(result: TrainResult, folder: Path) -> None:
    """Tell how the run ended, once; one ended by a signal has the exit status that shells give it."""
    if is_first():
        _tell_end(result, folder)
    if result.signal is not None:
        raise typer.Exit(128 + result.signal)


def _tell_end(result: TrainResult, folder: Path) -> None:
    if result.signal is not None:
        _tell(f"stopped after step {result.step}: {result.checkpoint}; continue with --resume --output {folder}")
        return
    if result.best is not None:
        step, ap, ap50 = result.best
        _tell(f"best on validation: AP {ap:.3f}, AP50 {ap50:.3f} at step {step}")
    if result.artifact is not None:
        _tell(f"wrote {result.artifact} ({result.parity})")


def _tell(text: str) -> None:
    typer.echo(text, err=True)

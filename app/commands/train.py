"""``yoloscope train``.

The option that names a training configuration, apart from those that the server's command needs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from yoloscope.app.commands.options import AcceleratorOption, DataOption, SizeOption, accelerator_of, parse_size
from yoloscope.models.errors import ConfigError, YoloscopeError
from yoloscope.training.callbacks.stopping import exit_on_signal
from yoloscope.training.checkpoint.files import CONFIG, has_checkpoint
from yoloscope.training.checkpoint.resume import read_run, require_same_options, resume_command
from yoloscope.training.config import TrainingConfig, config_names, find_config
from yoloscope.training.logs import log_to_stderr
from yoloscope.training.teachers import num_teachers_to_train
from yoloscope.training.train import TrainResult, is_first
from yoloscope.training.train import train as train_detector
from yoloscope.training.trainer import DeviceConfig
from yoloscope.training.visualize.augmentations import write_freebies, write_preview

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help=f"YAML file, or a configuration that comes along: {', '.join(config_names())}."),
]
RunArgument = Annotated[
    Path | None,
    typer.Argument(metavar="RUN", help="Folder of the run that --resume continues.", show_default=False),
]


@dataclass(frozen=True)
class _Options:
    """Options that change the configuration; None leaves what it says."""

    config: str | None
    network: str | None
    start: list[str]
    size: str | None
    epochs: int | None

    def apply(self, config: TrainingConfig) -> TrainingConfig:
        """Return the configuration with the options in it."""
        start = self.start[0] if len(self.start) == 1 else self.start or None
        size = None if self.size is None else parse_size(self.size)
        changes = {"network": self.network, "start": start, "input_size": size, "epochs": self.epochs}
        return config.replace(**{key: value for key, value in changes.items() if value is not None})

    def new(self) -> TrainingConfig:
        """Return the configuration of a new run; its teachers are named so that any folder can resume it."""
        chosen = self.apply(TrainingConfig() if self.config is None else find_config(self.config))
        if chosen.distill is None or isinstance(chosen.distill.teachers, int):
            return chosen
        teachers = [path.absolute() for path in chosen.distill.teachers]
        return chosen.replace(distill=chosen.distill.model_dump() | {"teachers": teachers})

    def resumed(self, saved: TrainingConfig, source: Path) -> TrainingConfig:
        """Return the configuration of a resumed run; options given again must be equal, but for ``--epochs``."""
        changed = () if self.epochs is None else ("epochs",)
        require_same_options(saved, self.apply(saved) if self.config is None else self.new(), source, changed)
        return self.apply(saved) if self.epochs is not None else saved


def train(
    data: DataOption = None,
    run: RunArgument = None,
    config: ConfigOption = None,
    network: Annotated[str | None, typer.Option(help="Network, as yolov4-tiny; overrides the configuration.")] = None,
    start: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE|RUN",
            help="Weights to start from: an official model, as yolov4-tiny, a darknet .weights file, a checkpoint, the "
            "folder of a run or an .onnx file; given twice: a .cfg and its .weights.",
        ),
    ] = None,
    size: SizeOption = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; overrides the configuration.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; default: runs/ and the network's, configuration's or start's name."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in RUN or --output where it stopped.")
    ] = False,
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

    Ctrl-C or SIGTERM ends after the step at hand; yoloscope train --resume RUN goes on from there, bit for bit. Then
    serve the result: yoloscope serve --model RUN/model.onnx. For example: yoloscope train --data raccoons --start
    yolov4-tiny, or yoloscope train --data bccd --config bccd-tiny
    """
    options = _Options(config, network, start or [], size, epochs)
    folder = _folder(run, output, options, resume=resume)
    if resume:
        saved, former = read_run(folder)
        settings, source = options.resumed(saved, folder / CONFIG), _resumed_data(data, former)
    else:
        settings, source = options.new(), _required_data(data)
    if show_batch is not None or show_augmentations is not None:
        _preview(settings, source, show_batch, show_augmentations)
        return
    _train(settings, source, folder, DeviceConfig(devices, nodes, accelerator_of(accelerator)), resume=resume)


def _folder(run: Path | None, output: Path | None, options: _Options, *, resume: bool) -> Path:
    """Return the folder of the run; raise ConfigError for a RUN that is not resumed, or is another than --output."""
    if run is not None and not resume:
        raise ConfigError(f"expected --resume beside the folder of a run, got {run} alone; --data names a data set")
    if run is not None and output is not None and run.absolute() != output.absolute():
        raise ConfigError(f"--resume: expected one run, got {run}, and {output} by --output")
    name = options.network or options.config or (options.start or [TrainingConfig().network])[0]
    return run or output or Path("runs") / Path(name).stem


def _required_data(data: Path | None) -> Path:
    if data is None:
        raise ConfigError("--data: expected a data set, got none")
    return data


def _resumed_data(data: Path | None, former: Path | None) -> Path:
    """Return the data of a resumed run, which may have moved; its images are compared before the first step."""
    if data is None and former is None:
        raise ConfigError("--data: expected the data set of the run, which an earlier version started, got none")
    if data is None or former is None:
        return _required_data(data or former)
    if data.absolute() != former and is_first():
        _tell(f"resumed with --data: {data.absolute()}, so far {former}")
    return data


def _preview(settings: TrainingConfig, data: Path, batch: Path | None, augmentations: Path | None) -> None:
    if batch is not None:
        write_preview(settings, data, batch)
        _tell(f"wrote {batch}")
    if augmentations is not None:
        _tell(f"wrote {len(write_freebies(settings, data, augmentations))} images into {augmentations}")


def _train(settings: TrainingConfig, data: Path, folder: Path, device: DeviceConfig, *, resume: bool) -> None:
    try:
        with log_to_stderr(), exit_on_signal():
            result = train_detector(
                settings, data, folder, resume=resume, machine=device, progress_bar=sys.stderr.isatty()
            )
    except YoloscopeError as error:
        if is_first():
            raise
        raise typer.Exit(1) from error
    except SystemExit as stop:
        _stopped_between_steps(stop, folder, device, saved=has_checkpoint(folder, num_teachers_to_train(settings)))
    if is_first():
        _tell_end(result, folder, device)
    if result.signal is not None:
        raise typer.Exit(128 + result.signal)


def _stopped_between_steps(stop: SystemExit, folder: Path, device: DeviceConfig, *, saved: bool) -> NoReturn:
    """End as a stop after a step does, with its exit status and, where anything was saved, the way to go on."""
    if is_first():
        _tell(f"stopped; continue with: {resume_command(folder, device)}" if saved else "stopped before the first step")
    raise typer.Exit(stop.code if isinstance(stop.code, int) else 1) from stop


def _tell_end(result: TrainResult, folder: Path, device: DeviceConfig) -> None:
    if result.signal is not None:
        way = resume_command(folder, device)
        _tell(f"stopped after step {result.step}: {result.checkpoint}; continue with: {way}")
        return
    if result.best is not None:
        step, ap, ap50 = result.best
        _tell(f"best on validation: AP {ap:.3f}, AP50 {ap50:.3f} at step {step}")
    if result.artifact is not None:
        _tell(f"wrote {result.artifact} ({result.parity})")


def _tell(text: str) -> None:
    typer.echo(text, err=True)

"""Training run: data and configuration in, a checked ONNX artifact with a summary of the run out."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import lightning.pytorch as lightning
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch.nn.utils import convert_conv2d_weight_memory_format

from yoloscope.models.errors import CheckpointError, ConfigError, DatasetError
from yoloscope.models.files import name_unwritten
from yoloscope.models.locks import alone_in
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.build import build_network, build_pipeline, build_shapes
from yoloscope.training.callbacks import (
    Checkpointing,
    EarlyStopping,
    EpochLogger,
    ProgressBar,
    RunMissedValidation,
    StopOnSignal,
    Validation,
)
from yoloscope.training.callbacks.base import StepCallback
from yoloscope.training.checkpoint.files import ARTIFACT, BEST, FINDINGS, LAST, has_checkpoint, read_checkpoint
from yoloscope.training.checkpoint.progress import trained_spec
from yoloscope.training.checkpoint.resume import (
    add_recovery_hint,
    finished_reason,
    require_same_images,
    require_same_run,
    require_same_teachers,
    resume_command,
    write_run,
)
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.datasets import DetectionDataset
from yoloscope.training.data.loader import BatchSchedule, TrainingData, TrainingImages, mini_batch_size, worker_count
from yoloscope.training.data.splits import Splits, open_splits
from yoloscope.training.diagnostics.run import calibrate_on
from yoloscope.training.evaluation.detectors import TorchHeads
from yoloscope.training.export.onnx import export_onnx
from yoloscope.training.export.parity import ParityReport
from yoloscope.training.logs import LOGGER, log_prefix, no_log
from yoloscope.training.module import TrainingModule
from yoloscope.training.teachers import Teachers, num_teachers_to_train, teacher_config, teacher_paths
from yoloscope.training.trainer import (
    DEFAULT_DEVICE,
    DeviceConfig,
    build_trainer,
    keep_freed_memory,
    suppress_lightning_output,
)


def with_summary(module: TrainingModule, train: DetectionDataset, val: DetectionDataset | None) -> DetectorSpec:
    """Return the spec of the trained network with its source and a summary of the run and its data."""
    data = {"epochs": module.epoch, "train": _of_data(train), "val": None if val is None else _of_data(val)}
    return trained_spec(module.network.spec, module.config, module.progress, data)


def _of_data(dataset: DetectionDataset) -> dict[str, Any]:
    return {
        "name": dataset.source.name,
        "split": dataset.split,
        "images": len(dataset),
        "objects": sum(dataset.objects_per_class),
    }


@dataclass(frozen=True)
class TrainResult:
    """End of a run.

    ``checkpoint`` is its last state. Where a signal (``signal`` is its number) ended it before the student's first
    step, step, best score and checkpoint are those of the teacher in training. ``artifact`` and ``parity`` are there
    where the run came to its end (or lost patience), on the first process.
    """

    step: int
    best: tuple[int, float, float] | None
    checkpoint: Path
    signal: int | None
    artifact: Path | None
    parity: ParityReport | None


def training_data(config: TrainingConfig, spec: DetectorSpec, dataset: DetectionDataset) -> TrainingData:
    """Return the images of a run and their order."""
    shapes = build_shapes(config, spec)
    plan = BatchSchedule(len(dataset), config.batch_size, shapes, config.seed)
    close_mosaic_epoch = config.epochs - round(config.augment.close_mosaic_fraction * config.epochs)
    pipeline = build_pipeline(config.augment)
    images = TrainingImages(dataset, spec, pipeline, config.seed, config.data.cache_mb, close_mosaic_epoch)
    return TrainingData(plan, images, worker_count(config.data.workers))


@dataclass(frozen=True)
class TrainedNetwork:
    """A run that came to its end, or was stopped by the signal of that number, in its folder."""

    folder: Path
    module: TrainingModule
    splits: Splits
    signal: int | None


class TrainOptions(TypedDict, total=False):
    """Keyword arguments of ``train``."""

    resume: bool
    machine: DeviceConfig
    progress_bar: bool
    extra_callbacks: tuple[lightning.Callback, ...]
    splits: Splits | None


def train(config: TrainingConfig, data: Path, folder: Path, **options: Unpack[TrainOptions]) -> TrainResult:
    """Train a detector on a data set; ``model.onnx`` is the average of the weights where validation was best.

    The other files are those of ``train_network``. Raises YoloscopeError; the steps done so far are in ``last.ckpt``.
    """
    run = train_network(config, data, folder, **options)
    artifact = parity = None
    if run.signal is None and is_first():
        artifact = folder / ARTIFACT
        parity = export_best(run.module, run.splits, folder)
    progress = run.module.progress
    return TrainResult(progress.step, progress.best, run.folder / LAST, run.signal, artifact, parity)


def train_network(
    config: TrainingConfig,
    data: Path,
    folder: Path,
    *,
    resume: bool = False,
    machine: DeviceConfig = DEFAULT_DEVICE,
    progress_bar: bool = False,
    extra_callbacks: tuple[lightning.Callback, ...] = (),
    splits: Splits | None = None,
) -> TrainedNetwork:
    """Train by ``config`` on ``data`` and write everything to ``folder``.

    ``last.ckpt`` to resume from, ``best.ckpt``, ``config.yaml``, ``logs`` (TensorBoard and CSV), where many labels are
    bad ``label-findings.txt``, and where the configuration gives a number of teachers their runs, which come first, in
    ``teachers``. ``splits`` are the images where they are not those that the configuration takes of ``data``.
    ``resume`` continues an interrupted run bit for bit (on one machine, with as many processes).
    Lines for the user go to the logger ``yoloscope.training`` (INFO), those of the first process alone.
    Raises YoloscopeError; the steps done so far are in ``last.ckpt``.
    """
    keep_freed_memory()
    machine.validate()
    first = is_first()
    bar = ProgressBar() if progress_bar and first else None
    alone = alone_in(folder, "training") if first and machine.nodes == 1 else nullcontext()
    with nullcontext() if first else no_log(), alone:
        state = _saved_state(config, folder, resume=resume)
        if state is None and num_teachers_to_train(config) and machine.processes > 1:
            raise ConfigError(
                f"distill.teachers: expected checkpoints for {machine.processes} processes, "
                f"got a number, {num_teachers_to_train(config)}: train the teachers first and name them"
            )
        mini_batch_size(config.batch_size, config.accumulate, machine.processes)
        splits = splits or open_splits(config, data, folder / FINDINGS if first else None)
        circumstances = _Circumstances(folder, data, splits, machine, bar)
        stopped = _train_teachers(config, folder, circumstances) if state is None else None
        return stopped or _train(config, folder, state, circumstances, extra_callbacks)


@dataclass(frozen=True)
class _Circumstances:
    """Data and device of a run and its teachers; ``folder`` is the run's."""

    folder: Path
    data: Path
    splits: Splits
    machine: DeviceConfig
    bar: ProgressBar | None


def _train_teachers(config: TrainingConfig, folder: Path, circumstances: _Circumstances) -> TrainedNetwork | None:
    """Train the teachers that are not done, where the configuration gives their number; return one that was stopped."""
    count = num_teachers_to_train(config)
    if not count:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    write_run(config, circumstances.data, folder)
    spec = build_network(_without_start(config), circumstances.splits.train).spec
    for number, place in enumerate(teacher_paths(config, folder)):
        own = teacher_config(config, number, spec)
        with log_prefix(f"teacher {number + 1}/{count}: "):
            state = _saved_state(own, place, resume=(place / LAST).is_file())
            run = _train(own, place, state, circumstances, ())
        if run.signal is not None:
            return run
    return None


def _train(
    config: TrainingConfig,
    folder: Path,
    state: dict[str, Any] | None,
    circumstances: _Circumstances,
    extra_callbacks: tuple[lightning.Callback, ...],
) -> TrainedNetwork:
    """Train from a state, or from the start."""
    splits = circumstances.splits
    network = build_network(config if state is None else _without_start(config), splits.train)
    if config.channels_last:
        convert_conv2d_weight_memory_format(network, torch.channels_last)
    images = training_data(config, network.spec, splits.train)
    module = TrainingModule(network, config, images.plan.steps_per_epoch, len(splits.train))
    if state is not None:
        if state["spec"] != network.spec.to_json():
            raise CheckpointError(f"{folder / LAST} belongs to other data: classes, anchors or loss differ")
        require_same_images(state, len(splits.train), folder / LAST)
        module.restore(state)
    interruption = StopOnSignal()
    validating = _validating(config, splits)
    overdue = validating is not None and validating.is_overdue(module)
    finished = None if overdue else finished_reason(module)
    if finished is not None:
        LOGGER.info("nothing left to train: %s", finished)
    else:
        _attach_teachers(module, folder, state)
        acting: list[StepCallback] = [] if validating is None else [validating, *_patience(config)]
        acting += [interruption, Checkpointing(folder)]
        callbacks: list[lightning.Callback] = [RunMissedValidation(acting)] if overdue else []
        callbacks += [*acting, EpochLogger(), *extra_callbacks]
        callbacks += [] if circumstances.bar is None else [circumstances.bar]
        with name_unwritten(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_run(config, circumstances.data, folder)
            trainer = build_trainer(config, circumstances.machine, folder, module.progress.step, callbacks)
            with suppress_lightning_output(), add_recovery_hint(folder, circumstances.folder, circumstances.machine):
                trainer.fit(module, datamodule=images.from_step(module.progress.step, module.total_steps))
    return TrainedNetwork(folder, module, splits, interruption.received)


def _without_start(config: TrainingConfig) -> TrainingConfig:
    """Return the configuration for a network whose weights come from a checkpoint, or do not matter."""
    return config.model_copy(update={"start": None})


def _attach_teachers(module: TrainingModule, folder: Path, state: dict[str, Any] | None) -> None:
    """Load the teachers, if any; on resume check that they are the same."""
    config = module.config
    paths = teacher_paths(config, folder)
    if not paths:
        return
    teachers = Teachers.load(paths, module.network.spec, channels_last=config.channels_last)
    if state is not None:
        require_same_teachers(state, teachers.digest, folder / LAST)
    module.set_teachers(teachers)


def is_first() -> bool:
    """Return whether this is the first process of the run, which is known once Lightning has started the others."""
    return not getattr(rank_zero_only, "rank", 0)


def export_best(module: TrainingModule, splits: Splits, folder: Path) -> ParityReport:
    """Write the artifact of the best weights, or of the last ones where nothing was validated."""
    network = copy.deepcopy(module.evaluated_network).cpu().eval()
    convert_conv2d_weight_memory_format(network, torch.contiguous_format)
    if module.progress.best is not None:
        network.load_state_dict(read_checkpoint(folder / BEST)["network"])
    spec = with_summary(module, splits.train, splits.val)
    return export_onnx(network, _calibrated(spec, network, splits.val), folder / ARTIFACT)


def _calibrated(spec: DetectorSpec, network: torch.nn.Module, val: DetectionDataset | None) -> DetectorSpec:
    """Return the spec with what an audit of labels needs, fitted to the images that were not trained on, if any."""
    if val is None:
        return spec
    try:
        found = calibrate_on(lambda _: TorchHeads(network, spec), val, val.title)
    except DatasetError as error:
        LOGGER.info("no calibration of label audits: %s", error)
        return spec
    return spec.model_copy(update={"calibration": found.model_dump(mode="json")})


def _saved_state(config: TrainingConfig, folder: Path, *, resume: bool) -> dict[str, Any] | None:
    """Return the state to go on from, or nothing where none was saved yet."""
    last, resumable = folder / LAST, has_checkpoint(folder, num_teachers_to_train(config))
    if not resume:
        if resumable:
            raise ConfigError(
                f"{folder} holds a run already: continue it with {resume_command(folder)} or choose another --output"
            )
        return None
    if resumable and not last.exists():
        return None
    state = read_checkpoint(last)
    require_same_run(state, config, last)
    return state


def _validating(config: TrainingConfig, splits: Splits) -> Validation | None:
    settings = config.validation
    return None if splits.val is None else Validation(splits.val, settings.every_epochs, settings.batch_size)


def _patience(config: TrainingConfig) -> list[EarlyStopping]:
    return [] if config.validation.patience is None else [EarlyStopping(config.validation.patience)]

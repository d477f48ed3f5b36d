"""A whole run: data and configuration in, a checked ONNX artefact out."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import lightning.pytorch as lightning
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.nn.utils import convert_conv2d_weight_memory_format

from models.errors import CheckpointError, ConfigError
from models.spec import DetectorSpec
from training.callbacks import Bar, CatchingUp, Interruption, Patience, Saving, Telling, Validating
from training.callbacks.hook import AfterStep
from training.checkpoint import read_checkpoint
from training.config import TrainingConfig
from training.data.datasets import DetectionDataset
from training.data.loading import StepPlan, TrainingPictures, mini_batch_size, worker_count
from training.export.onnx import export_onnx
from training.export.parity import ParityReport
from training.host_memory import keep_freed_memory
from training.module import TrainingModule
from training.recipe import build_network, build_pipeline, build_shapes
from training.resuming import (
    naming_what_is_kept,
    nothing_left,
    require_same_pictures,
    require_same_run,
    write_config,
)
from training.run_folder import ARTEFACT, BEST, FINDINGS, LAST
from training.splits import Announce, Splits, open_splits
from training.summary import with_summary
from training.training_data import TrainingData


@dataclass(frozen=True)
class Machine:
    """Where a run takes place: processes on each of ``nodes``, on what; other ranks are started by Lightning."""

    devices: int = 1
    nodes: int = 1
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"

    def require(self) -> None:
        """Raise ConfigError where it has fewer GPUs than the run shall have."""
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else int(torch.backends.mps.is_available())
        on_gpus = self.accelerator == "gpu" or (self.accelerator == "auto" and gpus > 0)
        if on_gpus and self.devices > gpus:
            raise ConfigError(
                f"--accelerator {self.accelerator} --devices {self.devices}: expected that many GPUs, got {gpus}"
            )


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    ``signal`` is the number of the signal that ended it early. ``artefact`` and ``parity`` are there where the run
    came to its end (or lost patience), on the first process.
    """

    step: int
    best: tuple[int, float, float] | None
    signal: int | None
    artefact: Path | None
    parity: ParityReport | None


def training_data(config: TrainingConfig, spec: DetectorSpec, dataset: DetectionDataset) -> TrainingData:
    """Return the pictures of a run and their order."""
    shapes = build_shapes(config, spec)
    plan = StepPlan(len(dataset), config.batch_size, shapes, config.seed)
    plain_from = config.epochs - round(config.augment.plain_share * config.epochs)
    pipeline = build_pipeline(config.augment)
    pictures = TrainingPictures(dataset, spec, pipeline, config.seed, config.data.cache_mb, plain_from)
    return TrainingData(plan, pictures, worker_count(config.data.workers))


@dataclass(frozen=True)
class Trained:
    """A run that came to its end, or was stopped by the signal of that number."""

    module: TrainingModule
    splits: Splits
    signal: int | None


class TrainOptions(TypedDict, total=False):
    """The keyword arguments of ``train``."""

    resume: bool
    machine: Machine
    announce: Announce
    progress_bar: bool
    extra_callbacks: tuple[lightning.Callback, ...]


def fit(config: TrainingConfig, data: Path, folder: Path, **options: Unpack[TrainOptions]) -> FitResult:
    """Train as ``train`` does; at the end ``model.onnx`` is the average of the weights where validation was best."""
    run = train(config, data, folder, **options)
    artefact = parity = None
    if run.signal is None and is_first():
        artefact = folder / ARTEFACT
        parity = export_best(run.module, run.splits, folder)
    return FitResult(run.module.progress.step, run.module.progress.best, run.signal, artefact, parity)


def train(
    config: TrainingConfig,
    data: Path,
    folder: Path,
    *,
    resume: bool = False,
    machine: Machine = Machine(),
    announce: Announce = lambda _text: None,
    progress_bar: bool = False,
    extra_callbacks: tuple[lightning.Callback, ...] = (),
) -> Trained:
    """Train by ``config`` on ``data`` and write everything to ``folder``.

    ``last.ckpt`` to resume from, ``best.ckpt``, ``config.yaml``, ``logs`` (TensorBoard and CSV), and where many labels
    are bad ``label-findings.txt``. ``resume`` continues an interrupted run bit for bit (on one machine, with as many
    processes). Raises YoloscopeError; the steps done so far are in ``last.ckpt``.
    """
    keep_freed_memory()
    machine.require()
    first = is_first()
    bar = Bar() if progress_bar and first else None
    announce = _silent if not first else announce if bar is None else bar.tell
    state = _saved_state(folder, resume=resume)
    if state is not None:
        require_same_run(state, config, folder / LAST, announce)
    mini_batch_size(config.batch_size, config.accumulate, machine.devices * machine.nodes)
    splits = open_splits(config, data, announce, folder / FINDINGS if first else None)
    network = build_network(config, splits.train)
    if config.channels_last:
        convert_conv2d_weight_memory_format(network, torch.channels_last)
    pictures = training_data(config, network.spec, splits.train)
    module = TrainingModule(network, config, pictures.plan.steps_per_epoch, len(splits.train))
    module.announce_by(announce)
    if state is not None:
        if state["spec"] != network.spec.to_json():
            raise CheckpointError(f"{folder / LAST} belongs to other data: classes, anchors or loss differ")
        require_same_pictures(state, len(splits.train), folder / LAST)
        module.restore(state)
    folder.mkdir(parents=True, exist_ok=True)
    write_config(config, folder)
    interruption = Interruption()
    validating = _validating(config, splits)
    overdue = validating is not None and validating.is_overdue(module)
    finished = None if overdue else nothing_left(module)
    if finished is not None:
        announce(f"nothing left to train: {finished}")
    else:
        acting: list[AfterStep] = [] if validating is None else [validating, *_patience(config)]
        acting += [interruption, Saving(folder)]
        callbacks: list[lightning.Callback] = [CatchingUp(acting, announce)] if overdue else []
        callbacks += [*acting, Telling(announce), *extra_callbacks]
        callbacks += [] if bar is None else [bar]
        trainer = _trainer(config, machine, folder, module.progress.step, callbacks)
        with _quiet(), naming_what_is_kept(folder):
            trainer.fit(module, datamodule=pictures.from_step(module.progress.step, module.total_steps))
    return Trained(module, splits, interruption.received)


def is_first() -> bool:
    """Return whether this is the first process of the run, which is known once Lightning has started the others."""
    return not getattr(rank_zero_only, "rank", 0)


def export_best(module: TrainingModule, splits: Splits, folder: Path) -> ParityReport:
    """Write the artefact of the best weights, or of the last ones where nothing was validated."""
    network = copy.deepcopy(module.evaluated_network).cpu().eval()
    convert_conv2d_weight_memory_format(network, torch.contiguous_format)
    if module.progress.best is not None:
        network.load_state_dict(read_checkpoint(folder / BEST)["network"])
    return export_onnx(network, with_summary(module, splits.train, splits.val), folder / ARTEFACT)


def _saved_state(folder: Path, *, resume: bool) -> dict[str, object] | None:
    checkpoint = folder / LAST
    if resume:
        return read_checkpoint(checkpoint)
    if checkpoint.exists():
        raise ConfigError(f"{folder} holds a run already: continue it with --resume or choose another --output")
    return None


def _validating(config: TrainingConfig, splits: Splits) -> Validating | None:
    settings = config.validation
    return None if splits.val is None else Validating(splits.val, settings.every_epochs, settings.batch_size)


def _patience(config: TrainingConfig) -> list[Patience]:
    return [] if config.validation.patience is None else [Patience(config.validation.patience)]


def _trainer(
    config: TrainingConfig,
    machine: Machine,
    folder: Path,
    step: int,
    callbacks: list[lightning.Callback],
) -> lightning.Trainer:
    version = f"from_step_{step}"
    with _quiet():
        return lightning.Trainer(
            accelerator=machine.accelerator,
            devices=machine.devices,
            num_nodes=machine.nodes,
            strategy="ddp" if machine.devices * machine.nodes > 1 else "auto",
            precision="bf16-mixed" if use_bf16(config.precision, machine.accelerator) else "32-true",
            max_epochs=1,
            callbacks=callbacks,
            logger=[
                TensorBoardLogger(folder / "logs", name="tensorboard", version=version),
                CSVLogger(folder / "logs", name="csv", version=version),
            ],
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )


def use_bf16(precision: str, accelerator: str) -> bool:
    """Return whether matrix products are computed in bfloat16; ``auto``: where the hardware has it."""
    if precision != "auto":
        return precision == "bf16"
    if accelerator != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice and self-praise off the screen."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        logger.setLevel(level)


def _silent(_text: str) -> None:
    """Say nothing."""

"""Devices of a run, Lightning's trainer for it, and the memory that the process keeps between steps."""

from __future__ import annotations

import ctypes
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import lightning.pytorch as lightning
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from yoloscope.models.errors import ConfigError
from yoloscope.training.config import TrainingConfig

_TRIM_THRESHOLD, _LARGEST_NUMBER_OF_MAPPINGS = -1, -4


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory; return whether it does, as other C libraries cannot.

    Each step of training on a CPU frees the memory of all activations and gradients and asks for as much again. By
    default large blocks go back to the system in between and come back page by page, filled with zeros, which takes
    5 to 8 % of the step of a small network. The most that the process holds at a time stays the same.

    Source: mallopt(3), M_TRIM_THRESHOLD and M_MMAP_MAX.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_LARGEST_NUMBER_OF_MAPPINGS, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))


@dataclass(frozen=True)
class DeviceConfig:
    """Devices of a run: processes on each of ``nodes``, on what; other ranks are started by Lightning."""

    devices: int = 1
    nodes: int = 1
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"

    @property
    def processes(self) -> int:
        """Processes over all machines."""
        return self.devices * self.nodes

    def validate(self) -> None:
        """Raise ConfigError where it has fewer GPUs than the run shall have."""
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else int(torch.backends.mps.is_available())
        on_gpus = self.accelerator == "gpu" or (self.accelerator == "auto" and gpus > 0)
        if on_gpus and self.devices > gpus:
            raise ConfigError(
                f"--accelerator {self.accelerator} --devices {self.devices}: expected that many GPUs, got {gpus}"
            )


DEFAULT_DEVICE: Final = DeviceConfig()


def build_trainer(
    config: TrainingConfig,
    machine: DeviceConfig,
    folder: Path,
    step: int,
    callbacks: list[lightning.Callback],
) -> lightning.Trainer:
    """Return Lightning's trainer for the steps from ``step`` on, whose logs go to ``folder``."""
    version = f"from_step_{step}"
    with suppress_lightning_output():
        return lightning.Trainer(
            accelerator=machine.accelerator,
            devices=machine.devices,
            num_nodes=machine.nodes,
            strategy="ddp" if machine.processes > 1 else "auto",
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
def suppress_lightning_output() -> Iterator[None]:
    """Silence Lightning's info messages and warnings."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        logger.setLevel(level)

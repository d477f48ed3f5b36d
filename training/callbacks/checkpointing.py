"""Checkpoints: the last state of the run, and the weights that were best on validation."""

from __future__ import annotations

import time
from pathlib import Path

import lightning.pytorch as lightning
from lightning.pytorch.loggers import CSVLogger

from yoloscope.models.errors import CheckpointError, LossError, NonFiniteLossError
from yoloscope.training.callbacks.base import StepCallback
from yoloscope.training.checkpoint.files import BEST, LAST, first_not_finite, write_checkpoint
from yoloscope.training.module import TrainingModule


class Checkpointing(StepCallback):
    """Writes ``last.ckpt`` after an epoch, a stop and (with one process) an error, ``best.ckpt`` at a new best.

    What could not be resumed is not saved: weights that are not finite or whose loss is not, and a part of a step. The
    CSV log is as far as ``last.ckpt``. Belongs after the callbacks that validate and stop.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._saved_step = -1
        self._since = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        assert isinstance(pl_module, TrainingModule)
        self._since = time.monotonic()
        self._saved_step = pl_module.progress.step

    def after_step(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Save where an epoch or the training ends; raise NonFiniteLossError where the weights are not finite."""
        now = time.monotonic()
        module.progress.seconds += now - self._since
        self._since = now
        best, last = module.progress.is_best_now, module.at_epoch_end or trainer.should_stop
        if best or last:
            _require_finite(module)
        if best and trainer.is_global_zero:
            write_checkpoint(_evaluated(module), self._folder / BEST)
        if last and trainer.is_global_zero:
            self._save(trainer, module)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Keep the steps done so far; other ranks may be anywhere, so that this is for one process alone."""
        if isinstance(exception, CheckpointError | LossError) or trainer.world_size > 1:
            return
        assert isinstance(pl_module, TrainingModule)
        unsaved = pl_module.progress.step > self._saved_step >= 0
        if unsaved and not pl_module.inside_step and _not_finite(pl_module) is None:
            self._save(trainer, pl_module)

    def _save(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                logger.save()
        write_checkpoint(module.checkpoint(), self._folder / LAST)
        self._saved_step = module.progress.step


def _require_finite(module: TrainingModule) -> None:
    name = _not_finite(module)
    if name is not None:
        raise NonFiniteLossError(f"expected finite weights after step {module.progress.step}, got others in {name}")


def _not_finite(module: TrainingModule) -> str | None:
    """Return the first weight or running statistic, of the network or its average, that is not finite."""
    found = (first_not_finite(network) for network in dict.fromkeys((module.network, module.evaluated_network)))
    return next((name for name in found if name is not None), None)


def _evaluated(module: TrainingModule) -> dict[str, object]:
    return {
        "config": module.config.to_yaml(),
        "spec": module.network.spec.to_json(),
        "progress": module.progress.to_dict(),
        "network": module.evaluated_network.state_dict(),
    }

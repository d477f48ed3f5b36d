"""Checkpoints: the last state of the run, and the weights that were best on validation."""

from __future__ import annotations

import time
from pathlib import Path

import lightning.pytorch as lightning

from models.errors import CheckpointError
from training.callbacks.hook import AfterStep
from training.checkpoint import write_checkpoint
from training.module import TrainingModule
from training.run_folder import BEST, LAST


class Saving(AfterStep):
    """Writes ``last.ckpt`` after an epoch, a stop and (with one process) an error, ``best.ckpt`` at a new best.

    Belongs after the callbacks that validate and stop.
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
        """Save where an epoch or the training ends."""
        now = time.monotonic()
        module.progress.seconds += now - self._since
        self._since = now
        if not trainer.is_global_zero:
            return
        if module.progress.is_best_now:
            write_checkpoint(_evaluated(module), self._folder / BEST)
        if module.at_epoch_end or trainer.should_stop:
            self._save(module)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Keep the steps done so far; other ranks may be anywhere, so that this is for one process alone."""
        if isinstance(exception, CheckpointError) or trainer.world_size > 1:
            return
        if isinstance(pl_module, TrainingModule) and pl_module.progress.step > self._saved_step >= 0:
            self._save(pl_module)

    def _save(self, module: TrainingModule) -> None:
        write_checkpoint(module.checkpoint(), self._folder / LAST)
        self._saved_step = module.progress.step


def _evaluated(module: TrainingModule) -> dict[str, object]:
    return {
        "config": module.config.to_yaml(),
        "spec": module.network.spec.to_json(),
        "progress": module.progress.to_dict(),
        "network": module.evaluated_network.state_dict(),
    }

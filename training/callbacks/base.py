"""Base class of the callbacks, which act after an optimizer step."""

from __future__ import annotations

from abc import ABC, abstractmethod

import lightning.pytorch as lightning

from yoloscope.training.module import TrainingModule


class StepCallback(lightning.Callback, ABC):
    """A callback that acts after every optimizer step."""

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,  # noqa: ARG002 - Lightning's signature
        batch: object,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Call ``after_step``."""
        assert isinstance(pl_module, TrainingModule)
        self.after_step(trainer, pl_module)

    @abstractmethod
    def after_step(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Act on the step that ``module.progress`` counts last."""

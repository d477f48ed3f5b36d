"""What the end of an epoch has left open when the run was cut off there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import lightning.pytorch as lightning

from training.callbacks.hook import AfterStep
from training.module import TrainingModule


class CatchingUp(lightning.Callback):
    """Lets ``callbacks`` act on the last step of a resumed run before its next one, as after the step itself.

    Belongs to runs whose validation is overdue (``Validating.is_overdue``).
    """

    def __init__(self, callbacks: Sequence[AfterStep], announce: Callable[[str], None]) -> None:
        self._callbacks, self._announce = callbacks, announce

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Validate, and save and stop by the result; the module is on its device, so that its average can follow."""
        assert isinstance(pl_module, TrainingModule)
        pl_module.on_fit_start()
        for callback in self._callbacks:
            callback.after_step(trainer, pl_module)
        if trainer.is_global_zero:
            step, ap, ap50 = pl_module.progress.scores[-1]
            self._announce(f"validation of step {step}, which the run had not come to: AP {ap:.3f}  AP50 {ap50:.3f}")

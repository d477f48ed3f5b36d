"""What a search wants to know of a trial while it trains."""

from __future__ import annotations

from collections.abc import Callable

import lightning.pytorch as lightning

from training.callbacks.hook import AfterStep
from training.module import TrainingModule


class Reporting(AfterStep):
    """Hands AP on after every validation, and ends the trial where ``report`` (epoch, AP) says that it is hopeless.

    Validations from before a restart are handed on first. ``watch`` is told after every step which share is done.
    """

    def __init__(self, report: Callable[[int, float], bool], watch: Callable[[float], None]) -> None:
        self._report, self._watch = report, watch
        self._reported = 0
        self.hopeless = False

    def after_step(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Report what is new, and stop where that is hopeless."""
        self.catch_up(module)
        if self.hopeless and module.progress.step < module.total_steps:
            trainer.should_stop = True
        self._watch(module.progress.step / module.total_steps)

    def catch_up(self, module: TrainingModule) -> None:
        """Report the validations that have not been reported yet."""
        scores = module.progress.scores
        for step, ap, _ in scores[self._reported :]:
            self.hopeless = self._report(round(step / module.steps_per_epoch), ap)
        self._reported = len(scores)

"""One line per epoch: the loss, its terms, AP."""

from __future__ import annotations

from collections.abc import Callable

import lightning.pytorch as lightning

from training.callbacks.hook import AfterStep
from training.module import StepLoss, TrainingModule


class Telling(AfterStep):
    """Tells after every epoch what the loss is made of, and AP where it was just measured."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce

    def after_step(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Tell at the end of an epoch."""
        if module.at_epoch_end and trainer.is_global_zero:
            self._announce(epoch_line(module))


def epoch_line(module: TrainingModule) -> str:
    """Return the line of the epoch that has just ended."""
    assert module.last_loss is not None
    progress, report = module.progress, module.last_loss.report
    terms = ", ".join(f"{name} {float(term.weighted):.3g}" for name, term in report.terms.items())
    line = f"epoch {round(module.epoch)}/{module.config.epochs}  loss {float(report.total.detach()):.4g} ({terms})"
    line += taught(module.last_loss)
    if progress.scores and progress.scores[-1][0] == progress.step:
        _, ap, ap50 = progress.scores[-1]
        line += f"  AP {ap:.3f}  AP50 {ap50:.3f}" + ("  best so far" if progress.is_best_now else "")
    return f"{line}  {progress.seconds:.0f} s"


def taught(loss: StepLoss) -> str:
    """Return what it costs to answer otherwise than the teachers, where there are any."""
    return "" if loss.distilled is None else f"  teachers {float(loss.distilled.sum()):.3g}"

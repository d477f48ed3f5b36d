"""One line per epoch: the loss, its terms, AP.

A progress bar over the whole run, with the loss, its terms and AP.
"""

from __future__ import annotations

import lightning.pytorch as lightning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from yoloscope.training.callbacks.base import StepCallback
from yoloscope.training.logs import LOGGER
from yoloscope.training.module import StepLoss, TrainingModule


class ProgressBar(StepCallback):
    """Progress bar on standard error; lines written there meanwhile stand above it."""

    def __init__(self, console: Console | None = None) -> None:
        columns = (
            BarColumn(20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss_summary]}"),
        )
        console = console or Console(stderr=True, highlight=False, markup=False)
        self._progress = Progress(*columns, console=console, transient=True)
        self._task: TaskID | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the bar, at the step where the run stands."""
        assert isinstance(pl_module, TrainingModule)
        if trainer.is_global_zero:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._progress.start()
            done = pl_module.progress.step
            self._task = self._progress.add_task("", total=pl_module.total_steps, completed=done, loss_summary="")

    def after_step(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Move the bar."""
        if trainer.is_global_zero and self._task is not None:
            self._progress.update(self._task, completed=module.progress.step, loss_summary=loss_summary(module))

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Remove the bar."""
        self._progress.stop()

    def on_exception(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002 - Lightning's signature
        pl_module: lightning.LightningModule,  # noqa: ARG002
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """Remove the bar."""
        self._progress.stop()


def loss_summary(module: TrainingModule) -> str:
    """Return the loss of the last step, its terms, and the last AP, in few letters."""
    if module.last_loss is None:
        return ""
    report = module.last_loss.report
    terms = " ".join(f"{name[:6]} {float(term.weighted):.3g}" for name, term in report.terms.items())
    scores = module.progress.scores
    measured = f" AP {scores[-1][1]:.3f}" if scores else ""
    return f"loss {float(report.total.detach()):.4g} {terms}{distill_suffix(module.last_loss)}{measured}"


class EpochLogger(StepCallback):
    """Logs the loss and its terms after every epoch, and AP where it was just measured."""

    def after_step(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Log the line of an epoch at its end."""
        if module.at_epoch_end and trainer.is_global_zero:
            LOGGER.info(epoch_line(module))


def epoch_line(module: TrainingModule) -> str:
    """Return the line of the epoch that has just ended."""
    assert module.last_loss is not None
    progress, report = module.progress, module.last_loss.report
    terms = ", ".join(f"{name} {float(term.weighted):.3g}" for name, term in report.terms.items())
    line = f"epoch {round(module.epoch)}/{module.config.epochs}  loss {float(report.total.detach()):.4g} ({terms})"
    line += distill_suffix(module.last_loss)
    if progress.scores and progress.scores[-1][0] == progress.step:
        _, ap, ap50 = progress.scores[-1]
        line += f"  AP {ap:.3f}  AP50 {ap50:.3f}" + ("  best so far" if progress.is_best_now else "")
    return f"{line}  {progress.seconds:.0f} s"


def distill_suffix(loss: StepLoss) -> str:
    """Return the distillation loss in words, empty without teachers."""
    return "" if loss.distilled is None else f"  teachers {float(loss.distilled.sum()):.3g}"

"""Early end of a run: by SIGTERM or Ctrl-C, or by patience with the validation AP."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning.pytorch as lightning

from yoloscope.training.callbacks.base import StepCallback
from yoloscope.training.module import TrainingModule

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def exit_on_signal() -> Iterator[None]:
    """Raise SystemExit with the exit status of shells (128 + number) on SIGTERM or Ctrl-C in a with block.

    For what comes before, between and after the steps of runs, during which ``StopOnSignal`` has the signals. In other
    threads than the main one signals are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, _exit) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class StopOnSignal(StepCallback):
    """Ends training after the step at hand when SIGTERM or Ctrl-C arrives on any rank; a second one ends it at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._former: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Install the signal handlers, in the main thread alone."""
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._receive) for number in _SIGNALS}

    def after_step(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # noqa: ARG002
        """Stop all ranks where one was asked to."""
        if trainer.strategy.reduce_boolean_decision(self.received is not None, all=False):
            trainer.should_stop = True

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Restore the former signal handlers."""
        self._give_back()

    def on_exception(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002 - Lightning's signature
        pl_module: lightning.LightningModule,  # noqa: ARG002
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """Restore the former signal handlers."""
        self._give_back()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}


class EarlyStopping(StepCallback):
    """Ends training after that many validations without a new best."""

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def after_step(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Count, on every rank alike."""
        if module.progress.validations_since_best >= self._patience:
            trainer.should_stop = True

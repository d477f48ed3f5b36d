"""Callbacks of a run: validation, checkpoints, stopping, progress bar and log."""

from yoloscope.training.callbacks.checkpointing import Checkpointing
from yoloscope.training.callbacks.console import EpochLogger, ProgressBar
from yoloscope.training.callbacks.stopping import EarlyStopping, StopOnSignal
from yoloscope.training.callbacks.validation import RunMissedValidation, Validation

__all__ = [
    "Checkpointing",
    "EarlyStopping",
    "EpochLogger",
    "ProgressBar",
    "RunMissedValidation",
    "StopOnSignal",
    "Validation",
]

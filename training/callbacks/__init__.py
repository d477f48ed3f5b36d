"""What happens around the steps of a run: validation, saving, stopping and telling."""

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

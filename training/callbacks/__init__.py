"""What happens around the steps of a run: validation, saving, stopping and telling."""

from yoloscope.training.callbacks.checkpointing import Saving
from yoloscope.training.callbacks.console import Bar, Telling
from yoloscope.training.callbacks.stopping import Interruption, Patience
from yoloscope.training.callbacks.validation import CatchingUp, Validating

__all__ = ["Bar", "CatchingUp", "Interruption", "Patience", "Saving", "Telling", "Validating"]

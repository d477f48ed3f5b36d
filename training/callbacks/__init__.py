"""What happens around the steps of a run: validation, saving, stopping and telling."""

from training.callbacks.bar import Bar
from training.callbacks.catching_up import CatchingUp
from training.callbacks.saving import Saving
from training.callbacks.stopping import Interruption, Patience
from training.callbacks.telling import Telling
from training.callbacks.validating import Validating

__all__ = ["Bar", "CatchingUp", "Interruption", "Patience", "Saving", "Telling", "Validating"]

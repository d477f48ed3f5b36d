"""The model that a command runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import typer

from yoloscope.app.hub import ensure_model
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings


def reach_model(settings: Settings) -> Path:
    """Return the artifact that the settings ask for, pulled if need be; a warning on stderr names a substitute."""
    return ensure_model(settings, _say)


def _say(text: str) -> None:
    with suppress(OSError):  # a full disk below a log
        typer.echo(text, err=True)


def open_runtime(settings: Settings) -> Runtime:
    """Return the runtime of the model that the settings ask for.

    Raises ModelNotFoundError, ModelLoadError, ProviderError or DownloadError.
    """
    return Runtime(reach_model(settings), settings.provider, settings.threads)

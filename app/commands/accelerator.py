"""The option ``--accelerator`` of the commands that train."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import typer

from models.errors import ConfigError

Accelerator = Literal["auto", "cpu", "gpu"]
AcceleratorOption = Annotated[str, typer.Option(help="auto, cpu or gpu.")]

_KNOWN: Final[dict[str, Accelerator]] = {"auto": "auto", "cpu": "cpu", "gpu": "gpu"}


def accelerator_of(name: str) -> Accelerator:
    """Return the accelerator of a name; raise ConfigError for another name."""
    if name not in _KNOWN:
        raise ConfigError(f"--accelerator: expected auto, cpu or gpu, got {name!r}")
    return _KNOWN[name]

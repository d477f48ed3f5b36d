"""The option that names a training configuration, apart from those that the server's command needs."""

from __future__ import annotations

from typing import Annotated

import typer

from training.config_names import config_names

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help=f"YAML file, or a configuration that comes along: {', '.join(config_names())}."),
]

"""``yoloscope models``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from yoloscope.app.commands.options import ModelsDirOption
from yoloscope.app.services.model_store import BUILTIN, ModelStore, artifact_path, default_model, fallback_for
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.errors import YoloscopeError
from yoloscope.models.zoo.official import OFFICIAL
from yoloscope.training.export.artifact import read_spec


@dataclass(frozen=True)
class ListedModel:
    """A model that can be named; what cannot be known before it is pulled, or read, is None."""

    name: str
    default: bool
    source: str
    path: str | None
    input: str | None
    class_names: tuple[str, ...]
    error: str | None = None


def list_models(settings: Settings) -> list[ListedModel]:
    """Return the models that are there, the default first, then the official ones that can be pulled."""
    default = default_model(settings)
    store = ModelStore(settings.models_dir, default, settings.provider, settings.threads)
    there = [_local(name, store.default, settings) for name in store.names()]
    known = {model.name for model in there}
    return there + [
        ListedModel(name, False, "to pull", None, None, official.class_names)
        for name, official in OFFICIAL.items()
        if name not in known
    ]


def _local(name: str, default: str, settings: Settings) -> ListedModel:
    chosen = settings.model if settings.model is not None and name == default else name
    path = artifact_path(chosen, settings.models_dir)
    source = "comes along" if name == BUILTIN else "models folder"
    try:
        spec = read_spec(path)
    except (YoloscopeError, OSError) as error:
        return ListedModel(name, name == default, source, str(path), None, (), str(error))
    size = f"{spec.input_width}x{spec.input_height}"
    return ListedModel(name, name == default, source, str(path), size, spec.class_names)


def models(
    classes: Annotated[bool, typer.Option("--classes", help="Print the classes of each model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, the classes included.")] = False,
    models_dir: ModelsDirOption = None,
) -> None:
    """List the models that --model takes: the built-in one, the models folder, official ones that can be pulled."""
    settings = load_settings(models_dir=models_dir)
    listed = list_models(settings)
    if as_json:
        typer.echo(json.dumps({"models_dir": str(settings.models_dir), "models": list(map(asdict, listed))}, indent=2))
        return
    fallback = fallback_for(settings)
    console = Console(highlight=False, markup=False)
    table = Table(title=f"Models; folder: {settings.models_dir}", title_justify="left")
    table.add_column("name", overflow="fold")
    for heading in ("where", "input"):
        table.add_column(heading)
    table.add_column("classes", justify="right")
    for model in listed:
        default = "default offline" if fallback else "default"  # with a network the first choice is pulled
        name = f"{model.name} ({default})" if model.default else model.name
        count = "not readable" if model.error else str(len(model.class_names))
        table.add_row(name, model.source, model.input or "", count)
    console.print(table)
    for model in listed if classes else ():
        console.print(f"{model.name}: {', '.join(model.class_names)}", soft_wrap=True)

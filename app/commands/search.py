"""``yoloscope search``."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from app.commands.accelerator import AcceleratorOption, accelerator_of
from app.commands.config_option import ConfigOption
from app.commands.options import DataOption
from app.commands.progress import progress_bar
from app.commands.search_tables import search_document, show_search
from models.errors import ConfigError
from training.config import TrainingConfig
from training.config_names import find_config
from training.search_checks import default_space
from training.search_space import SearchSpace

if TYPE_CHECKING:
    from training.search import SearchResult


def search(
    data: DataOption = None,
    config: ConfigOption = None,
    space: Annotated[
        Path | None,
        typer.Option(help="YAML file of keys, each with low and high (and log: true) or choices; default: built in."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of a trial; overrides the configuration.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, those before an interruption included.")] = 20,
    output: Annotated[Path, typer.Option(help="Folder of the search.")] = Path("runs/search"),
    seed: Annotated[int, typer.Option(min=0, help="Start of the random numbers of the search.")] = 0,
    prune: Annotated[bool, typer.Option(help="End trials whose AP is below the median of the others.")] = True,
    accelerator: AcceleratorOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search for better hyper-parameters: many trainings, compared by AP on the validation split.

    The first trial has the configuration's own values, the others are drawn where good ones were found (TPE). Ctrl-C
    or SIGTERM ends after the step at hand; the same command goes on from there. Then train in full:
    yoloscope train --config OUTPUT/best.yaml. A space file has lines as: optimizer.rate: {low: 0.0005, high: 0.01, log:
    true} or augment.mosaic: {choices: [0, 0.5]}. For example: yoloscope search --data bccd --config bccd-tiny --epochs
    20 --trials 30
    """
    if data is None:
        raise ConfigError("--data: expected a data set, got none")
    chosen = TrainingConfig() if config is None else find_config(config)
    chosen = chosen if epochs is None else chosen.replace(epochs=epochs)
    wanted = default_space(chosen) if space is None else SearchSpace.load(space)
    module = _search_module()
    plan = module.SearchPlan(chosen, wanted, trials, seed, prune)
    console = Console(stderr=True, highlight=False, markup=False)
    columns = (
        TextColumn("trials"),
        BarColumn(20),
        TextColumn("{task.completed:.1f}/{task.total}"),
        TimeElapsedColumn(),
    )
    with progress_bar(*columns, console=console) as progress:
        task = progress.add_task("", total=trials)
        result: SearchResult = module.search(
            plan,
            data,
            output,
            machine=module.Machine(accelerator=accelerator_of(accelerator)),
            announce=lambda text: console.print(text, soft_wrap=True),
            watch=lambda done: progress.update(task, completed=done),
        )
    _conclude(result, output, as_json=as_json)


def _search_module() -> ModuleType:
    """Import the search; raise ConfigError where optuna is not installed."""
    try:
        return import_module("training.search")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "optuna":
            raise
        raise ConfigError("yoloscope search needs optuna: pip install 'yoloscope[search]'") from error


def _conclude(result: SearchResult, folder: Path, *, as_json: bool) -> None:
    """Show the trials; a search ended by a signal has the exit status that shells give it, one in vain is an error."""
    if as_json:
        typer.echo(json.dumps(search_document(result, folder), indent=2, allow_nan=False))
    else:
        show_search(result, folder, Console(highlight=False, markup=False))
    if result.signal is not None:
        typer.echo(f"stopped after {len(result.records)} trials: the same command goes on", err=True)
        raise typer.Exit(128 + result.signal)
    if result.best is None:
        raise ConfigError("expected a trial that comes to its end, got none: see the reasons above")

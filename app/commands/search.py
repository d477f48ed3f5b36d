"""``yoloscope search``.

A search of hyper-parameters as a table on the terminal, and as a document.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from yoloscope.app.commands.options import AcceleratorOption, DataOption, accelerator_of, progress_bar
from yoloscope.app.commands.train import ConfigOption
from yoloscope.models.errors import ConfigError
from yoloscope.training.callbacks.stopping import exit_on_signal
from yoloscope.training.checkpoint.files import BEST, BEST_CONFIG, trial_folder
from yoloscope.training.config import TrainingConfig, find_config
from yoloscope.training.logs import log_to_stderr
from yoloscope.training.search.run import default_space
from yoloscope.training.search.space import SEPARATOR, SearchSpace, shown

if TYPE_CHECKING:
    from yoloscope.training.search.run import SearchResult
    from yoloscope.training.search.study import TrialRecord


def show_search(result: SearchResult, folder: Path, console: Console) -> None:
    """Print the trials, what mattered, and where the best configuration is."""
    if not result.records:
        return
    console.print(_trials(result.records, result.best))
    for record in result.records:
        if record.reason is not None:
            console.print(f"trial {record.number} failed: {record.reason}", soft_wrap=True)
    if result.importances:
        shares = ", ".join(f"{key} {share:.2f}" for key, share in result.importances.items())
        console.print(f"share in how AP varies (PED-ANOVA): {shares}", soft_wrap=True)
    if result.best is not None:
        best = result.best
        console.print(f"best: trial {best.number}, AP {best.ap or 0:.3f}: {folder / BEST_CONFIG}", soft_wrap=True)


def search_document(result: SearchResult, folder: Path) -> dict[str, object]:
    """Return a search as plain values; ``best`` is null where no trial came to its end."""
    best = result.best
    return {
        "best": None
        if best is None
        else {
            "trial": best.number,
            "AP": best.ap,
            "values": dict(best.values),
            "config": str(folder / BEST_CONFIG),
            "checkpoint": str(trial_folder(folder, best.number) / BEST),
        },
        "importances": dict(result.importances),
        "trials": [asdict(record) for record in result.records],
        "interrupted": result.signal is not None,
    }


def _trials(records: Sequence[TrialRecord], best: TrialRecord | None) -> Table:
    keys = list(dict.fromkeys(key for record in records for key in record.values))
    names = dict(zip(keys, _names(keys), strict=True))
    table = Table(title="Trials", title_justify="left")
    for name in ("", "AP", "epochs", "s"):
        table.add_column(name, justify="right")
    table.add_column("state")
    table.add_column("values", overflow="fold")
    for record in records:
        ap = "" if record.ap is None else f"{record.ap:.3f}"
        state = "best" if record is best else record.state
        values = shown({names[key]: value for key, value in record.values.items()})
        table.add_row(str(record.number), ap, f"{record.epochs:g}", f"{record.seconds:.0f}", state, values)
    return table


def _names(keys: Sequence[str]) -> list[str]:
    """Return the last part of every key, or all of it where two end alike."""
    last = [key.rpartition(SEPARATOR)[2] for key in keys]
    return [name if last.count(name) == 1 else key for name, key in zip(last, keys, strict=True)]


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
    yoloscope train --config OUTPUT/best.yaml. A space file has lines as: optimizer.lr: {low: 0.0005, high: 0.01, log:
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
    with progress_bar(*columns, console=console) as progress, log_to_stderr():
        task = progress.add_task("", total=trials)
        try:
            with exit_on_signal():
                result: SearchResult = module.search(
                    plan,
                    data,
                    output,
                    machine=module.DeviceConfig(accelerator=accelerator_of(accelerator)),
                    on_progress=lambda done: progress.update(task, completed=done),
                )
        except SystemExit as stop:
            typer.echo("stopped: the same command goes on", err=True)
            raise typer.Exit(stop.code if isinstance(stop.code, int) else 1) from stop
    _conclude(result, output, as_json=as_json)


def _search_module() -> ModuleType:
    """Import the search; raise ConfigError where optuna is not installed."""
    try:
        return import_module("yoloscope.training.search.run")
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

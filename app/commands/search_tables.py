"""A search of hyper-parameters as a table on the terminal, and as a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from training.run_folder import BEST, BEST_CONFIG, trial_folder
from training.search_space import SEPARATOR, shown

if TYPE_CHECKING:
    from training.search import SearchResult
    from training.search_study import TrialRecord


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

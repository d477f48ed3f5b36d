"""Compare with darknet, model by model: ``python -m tests.parity.run DIR [--only NAME ...] [--strict] [--eager]``.

DIR is laid out like ../shared/oracles: weights/, darknet_out/, images/, darknet_pseudo/, darknet_cfgs/, each of them
optional. Prints a line per model with its worst errors, and exits 1 where one is beyond tolerance: heads 2e-4 for real
weights and 1e-4 of the largest magnitude for formula-made ones; detections from stored heads 1e-5; detections from
images .83 pixels of the network's input (.002 of the image at 416) and .014 in score. It takes several minutes.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from tests.parity.check import ModelResult, check_pseudo, check_real
from tests.parity.networks import pseudo_folders, real_models

COLUMNS = ("heads eager", "heads ONNX", "stored heads", "images eager", "images ONNX", "weights file")
Jobs = dict[str, Callable[[], ModelResult]]


def main(arguments: Sequence[str]) -> int:
    """Run the checks and print the table; return the exit status."""
    options = _parser().parse_args(arguments)
    jobs = find_jobs(options.folder, with_onnx=not options.eager)
    chosen = {name: job for name, job in jobs.items() if not options.only or name in options.only}
    console = Console(width=None if sys.stdout.isatty() else 180)
    if not chosen or set(options.only) - set(chosen):
        console.print(f"nothing to compare: {options.folder} holds {', '.join(jobs) or 'no models'}")
        return 2
    results = _run(chosen, console)
    console.print(_table(results))
    _print_details(console, results)
    refused = [result for result in results if result.refused]
    failed = [result for result in results if not result.passed]
    console.print(f"{len(results)} models, {len(refused)} refused by name, {len(failed)} beyond tolerance")
    return 1 if failed or (options.strict and refused) else 0


def find_jobs(folder: Path, *, with_onnx: bool = True) -> Jobs:
    """Return what compares each model of a folder, by name."""
    jobs: Jobs = {path.stem: partial(check_real, folder, path) for path in real_models(folder)}
    return jobs | {path.name: partial(check_pseudo, path, with_onnx=with_onnx) for path in pseudo_folders(folder)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.parity.run", description="compare with darknet")
    parser.add_argument("folder", type=Path, help="a folder laid out like ../shared/oracles")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these models alone")
    parser.add_argument("--strict", action="store_true", help="a model refused by name fails the run")
    parser.add_argument("--eager", action="store_true", help="leave out ONNX for networks with formula-made weights")
    return parser


def _run(jobs: Jobs, console: Console) -> list[ModelResult]:
    results = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("comparing", total=len(jobs))
        for name, job in jobs.items():
            progress.update(task, description=name)
            results.append(job())
            progress.advance(task)
            gc.collect()
    return results


def _table(results: Sequence[ModelResult]) -> Table:
    table = Table("model", *COLUMNS, title="worst deviation from darknet")
    for result in results:
        if result.refused:
            table.add_row(result.name, "refused")
            continue
        cells = {check.what: _colored(check.worst, passed=check.passed) for check in result.checks}
        table.add_row(result.name, *(cells.get(column, "") for column in COLUMNS))
    return table


def _colored(text: str, *, passed: bool) -> str:
    return escape(text) if passed else f"[bold red]{escape(text)}[/]"


def _print_details(console: Console, results: Sequence[ModelResult]) -> None:
    for result in results:
        if result.refused:
            console.print(f"{result.name} is refused: {escape(result.refused)}")
        for check in result.checks:
            if not check.passed:
                console.print(f"[bold red]{result.name}[/]: {check.what}: {escape(check.worst)}")
            for line in check.details:
                console.print(f"  {escape(line)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

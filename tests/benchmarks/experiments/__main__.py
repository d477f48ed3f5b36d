"""Train and print tables: ``python -m tests.benchmarks.experiments TABLE ... --data data/bccd``.

Every run is kept under ``--runs`` and never trained twice; an interrupted one goes on where it stopped. ``--list``
names the tables. AP is COCO's, mean and standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from tests.benchmarks.experiments.rows import Table, tables
from tests.benchmarks.experiments.runs import Bench, Result, result_of
from tests.benchmarks.report import heading
from yoloscope.training.config import TrainingConfig


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    parser.add_argument("--data", type=Path, default=Path("data/bccd"))
    parser.add_argument("--test", default="test", help="the split that nothing is chosen on")
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"), help="where runs are kept")
    parser.add_argument("--weights", type=Path, help="the official yolov4-tiny.weights, for the table 'start'")
    parser.add_argument("--seeds", type=int, help="seeds of each row; default: the table's own")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="name the tables and their rows")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    known = tables(options.weights)
    if options.list:
        for name, table in known.items():
            print(f"{name}: {table.title}: {'; '.join(row.name for row in table.rows)}")
        return 0
    unknown = sorted(set(options.tables) - set(known))
    if unknown or not options.tables:
        parser.error(f"expected some of {', '.join(known)}, got {', '.join(unknown) or 'none'}")
    for name in options.tables:
        _run(known[name], options.seeds or known[name].seeds, Bench(options.data, options.test, options.runs / name))
    return 0


def _run(table: Table, seeds: int, bench: Bench) -> None:
    counts = [table.seeds_of(row, seeds) for row in table.rows]
    results = [
        [result_of(row, seed, bench, lambda text: print(text, file=sys.stderr)) for seed in range(count)]
        for row, count in zip(table.rows, counts, strict=True)
    ]
    more = [f", {count} of {row.name!r}" for row, count in zip(table.rows, counts, strict=True) if count != seeds]
    print(heading(table.title, "torch"))
    print(f"{budget(table.rows[0].config)}; {seeds} seeds{''.join(more)}, {torch.get_num_threads()} thread\n")
    print(render([row.name for row in table.rows], results))
    print()


def budget(config: TrainingConfig) -> str:
    """Return what the runs of a table share, in words."""
    width, height = config.input_size
    return f"{width} x {height} px, {config.epochs} epochs of batch {config.batch_size}"


def render(names: Sequence[str], results: Sequence[Sequence[Result]]) -> str:
    """Return the table as Markdown, a line a row."""
    lines = [
        "| | parameters, M | steps | val AP | test AP | test AP50 | AP50 by class | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in zip(names, results, strict=True):
        classes = [key for key in row[0].test if key.startswith("AP50 ")]
        by_class = ", ".join(f"{key[5:]} {statistics.mean(one.test[key] for one in row):.3f}" for key in classes)
        cells = [
            name,
            f"{row[0].parameters / 1e6:.2f}",
            f"{row[0].steps}",
            spread([one.val["AP"] for one in row], 3),
            spread([one.test["AP"] for one in row], 3),
            spread([one.test["AP50"] for one in row], 3),
            by_class,
            spread([one.seconds for one in row], 0),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: Sequence[float], digits: int) -> str:
    """Return the mean, and the standard deviation where there are several values."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())

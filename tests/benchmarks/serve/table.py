"""Figures of the arrangements, and their table with ratios."""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tests.benchmarks.report import heading
from tests.benchmarks.serve.arrangements import OURS
from tests.benchmarks.serve.processes import Memory
from yoloscope.app.load_generator import LoadResult


@dataclass
class Figures:
    """Figures of one server: its loads by connections, one of each round, and the processor time of a request in
    each; its memory at the end.
    """

    cold_start_s: float
    loads: dict[int, list[LoadResult]] = field(default_factory=dict)
    cpu_ms: dict[int, list[float]] = field(default_factory=dict)
    memory: Memory = field(default_factory=lambda: Memory(0, 0))

    def rate(self, connections: int) -> float:
        """Answers a second in the median round."""
        return statistics.median(result.throughput for result in self.loads[connections])

    def latency_ms(self, connections: int, percent: float) -> float:
        """Percentile of all latencies of all rounds together."""
        latencies = [latency for result in self.loads[connections] for latency in result.latencies_s]
        return 1e3 * float(np.percentile(latencies, percent, method="higher")) if latencies else float("nan")

    def problems(self) -> str:
        """What was refused or failed."""
        errors = sum((result.errors for results in self.loads.values() for result in results), Counter[str]())
        return ", ".join(f"{count} x {kind}" for kind, count in sorted(errors.items())) or "none"


def ratio(rates: list[float], others: list[float]) -> float:
    """Return the median over the rounds of the ratio of rates that were measured next to each other."""
    return statistics.median(one / other for one, other in zip(rates, others, strict=True) if other)


@dataclass(frozen=True)
class Alone:
    """Rates without a server, and the processor time of an image, by the loads that they were measured beside.

    ``at_once`` images are at work: with fewer connections no server can have as many.
    """

    at_once: int
    rates: dict[int, list[float]]
    cpu_ms: dict[int, list[float]]


def print_table(options: argparse.Namespace, figures: dict[str, Figures], alone: dict[str, Alone]) -> None:
    """Print the medians of the rounds, with ratios to the best peer and to the best arrangement without a server.

    Processor time is that of all processes of a server; other work on the machine hardly moves it.
    """
    model, threads = options.model.name, options.threads
    print(heading(f"yoloscope serve beside peers, {model}, {threads} threads", "onnxruntime-gpu"))
    print(f"{options.rounds} rounds of {options.duration:g} s; requests/s (of the best peer, of the best in process)")
    loads = "".join(f" {count} r/s | p50 / p99 ms | CPU ms |" for count in options.connections)
    print(f"| | cold start s | RSS / PSS MiB |{loads} errors |")
    print("|---|---|---|" + "---|---|---|" * len(options.connections) + "---|")
    median = statistics.median
    for name, of in alone.items():
        cells = (f" {median(of.rates[n]):.1f} | | {median(of.cpu_ms[n]):.1f} |" for n in options.connections)
        print(f"| {name} | | |{''.join(cells)} |")
    best = {count: _best(figures, alone, count) for count in options.connections}
    for name, found in figures.items():
        row = f"| {name} | {found.cold_start_s:.1f} | {found.memory.rss:.0f} / {found.memory.pss:.0f} |"
        for count, others in best.items():
            own = [result.throughput for result in found.loads[count]]
            row += f" {found.rate(count):.1f} ({', '.join(f'{ratio(own, other):.2f}' for other in others)}) |"
            row += f" {found.latency_ms(count, 50):.0f} / {found.latency_ms(count, 99):.0f} |"
            row += f" {median(found.cpu_ms[count]):.1f} |"
        print(f"{row} {found.problems()} |")


def _best(figures: dict[str, Figures], alone: dict[str, Alone], connections: int) -> tuple[list[float], ...]:
    """Return the rates of the best peer and of the best arrangement without a server, by round."""
    peers = [
        [result.throughput for result in found.loads[connections]]
        for name, found in figures.items()
        if not name.startswith(OURS)
    ]
    without = [of.rates[connections] for of in alone.values() if of.at_once <= connections]
    return tuple(max(group, key=statistics.median) for group in (peers, without) if group)

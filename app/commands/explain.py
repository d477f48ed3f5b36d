"""``yoloscope explain``: the losses by worked numbers."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as ScreenTable

from yoloscope.models.errors import ConfigError
from yoloscope.training.explain import TOPICS, Table, Topic
from yoloscope.training.explain.table import Cell

WIDTH = 80
"""Columns of a terminal that every table fits."""
EVERYTHING = "all"


def explain(
    topics: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC]...", help="One or several; all; none lists them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all digits.")] = False,
) -> None:
    """Explain the YOLO losses by worked numbers, each beside its formula filled in.

    Without a topic the topics are listed. For example: yoloscope explain walkthrough
    """
    chosen = _chosen(topics or [])
    if as_json:
        documents = [topic.as_dict() for topic in chosen] if chosen else list(map(_listed, TOPICS.values()))
        typer.echo(json.dumps({"topics": documents}, indent=2))
        return
    console = Console(width=WIDTH, highlight=False, markup=False)
    if not chosen:
        _list_topics(console)
    for number, topic in enumerate(chosen):
        if number:
            console.print()
        _print_topic(topic, console)


def _chosen(names: list[str]) -> list[Topic]:
    """Return the topics of these names; raise ConfigError for one that there is not."""
    if EVERYTHING in names:
        return list(TOPICS.values())
    unknown = [name for name in names if name not in TOPICS]
    if unknown:
        raise ConfigError(f"expected topics of {', '.join(TOPICS)}, {EVERYTHING}, got {', '.join(unknown)}")
    return [TOPICS[name] for name in names]


def _listed(topic: Topic) -> dict[str, object]:
    return {"topic": topic.name, "source": topic.source, "summary": topic.summary}


def _list_topics(console: Console) -> None:
    table = _screen_table(("topic", "summary", "source"))
    for topic in TOPICS.values():
        table.add_row(topic.name, topic.summary, topic.source)
    console.print(table)
    console.print(
        "\nyoloscope explain TOPIC prints its numbers, all those of every topic; docs/losses.md has the text."
    )


def _print_topic(topic: Topic, console: Console) -> None:
    console.print(f"{topic.name}: {topic.summary}")
    console.print(f"Source: {topic.source}")
    for table in topic.tables():
        console.print(f"\n{table.title}")
        for line in table.formula.splitlines():
            console.print(f"  {line}")
        console.print(_filled_table(table))
        if table.note:
            console.print(table.note)


def _filled_table(table: Table) -> ScreenTable:
    columns = zip(table.columns, zip(*table.rows, strict=True), strict=True)
    numeric = {name for name, cells in columns if any(isinstance(cell, float) for cell in cells)}
    screen = _screen_table(table.columns, numeric)
    for row in table.rows:
        screen.add_row(*map(_shown, row))
    return screen


def _screen_table(columns: tuple[str, ...], numeric: Collection[str] = ()) -> ScreenTable:
    table = ScreenTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        folds = name in {"filled in", "summary", "source"}
        table.add_column(name, overflow="fold", no_wrap=not folds, justify="right" if name in numeric else "left")
    return table


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.4e}" if 0 < abs(cell) < 1e-4 else f"{cell:.4f}"
    return str(cell)

"""A loss report as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from yoloscope.app.responses.explanations import place_in_file
from yoloscope.app.schemas.detect import CornerBox
from yoloscope.app.schemas.score import (
    ImageScore,
    Predictor,
    ScaleScore,
    ScoreAnswer,
    UnexplainedPrediction,
)


def show_score(answer: ScoreAnswer, console: Console) -> None:
    """Print the report of every image; ``console`` must be one without markup."""
    for result in answer.results:
        console.print(
            f"loss {result.total:.4f} of {result.objects} objects in an image of "
            f"{result.image.width}x{result.image.height}; model {answer.model} ({answer.version}), "
            f"preset {answer.preset} (version {answer.preset_version}, divided by: {answer.normalizer})\n"
        )
        console.print(_terms_and_scales(result))
        for table in (_objects(result), _unexplained(result), _not_scored(result)):
            if table is not None:
                console.print()
                console.print(table)


def _table(title: str, texts: Iterable[str], numbers: Iterable[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _terms_and_scales(result: ImageScore) -> Table:
    scales = [f"{_grid(scale)} grid" for scale in result.by_scale]
    table = _table("Terms", ("term",), ("raw", "weighted", *scales))
    for name, term in result.terms.items():
        shares = (f"{scale.terms[name].weighted:.4f}" for scale in result.by_scale)
        table.add_row(name, f"{term.raw:.4f}", f"{term.weighted:.4f}", *shares)
    table.add_section()
    table.add_row("total", "", f"{result.total:.4f}", *(f"{scale.total:.4f}" for scale in result.by_scale))
    if any(scale.roles for scale in result.by_scale):
        table.add_section()
        _add_counts(table, "predictors", [sum((scale.roles or {}).values()) for scale in result.by_scale])
        for role in ("responsible", "extra", "ignored", "background", "prior"):
            counts = [(scale.roles or {}).get(role, 0) for scale in result.by_scale]
            if any(counts):
                _add_counts(table, f"  {role}", counts)
    return table


def _add_counts(table: Table, name: str, counts: Sequence[int]) -> None:
    table.add_row(name, "", str(sum(counts)), *map(str, counts))


def _objects(result: ImageScore) -> Table | None:
    if not result.by_object:
        return None
    table = _table("Objects, the most expensive first", (), ("rank", "cost"))
    table.show_lines = True
    for name in ("label", "why, and its predictors"):
        table.add_column(name, overflow="fold")
    for entry in sorted(result.by_object, key=lambda entry: entry.rank):
        where = [_place(assignment) for assignment in entry.assignments]
        label = [f"{entry.class_name}, {place_in_file(entry.pointer)}", _corners(entry.box), *entry.flags]
        table.add_row(
            str(entry.rank), f"{entry.total:.4f}", "\n".join(label), "\n".join((entry.why, *(where or ["nothing"])))
        )
    return table


def _unexplained(result: ImageScore) -> Table | None:
    if not result.unexplained:
        return None
    table = _table("Predictions that no label explains", ("class", "x1 y1 x2 y2", "predictor"), ("score", "cost"))
    for entry in result.unexplained:
        assigned = "".join(f", assigned to object {index}" for index in entry.serves)
        table.add_row(
            entry.class_name,
            _corners(entry.box),
            _place(entry) + assigned,
            f"{entry.score:.3f}",
            f"{entry.cost:.4f}",
        )
    return table


def _not_scored(result: ImageScore) -> Table | None:
    if not result.not_scored:
        return None
    table = _table("Labels without a part in the loss", ("label", "x1 y1 x2 y2", "why"))
    for entry in result.not_scored:
        table.add_row(
            f"{entry.class_name}, {place_in_file(entry.pointer)}", _corners(entry.box), ", ".join(entry.flags)
        )
    return table


def _place(entry: Predictor | UnexplainedPrediction) -> str:
    size = entry.anchor_px
    anchor = f"box {entry.anchor}" if size is None else f"anchor {size[0]:g}x{size[1]:g} px"
    return f"stride {entry.stride:g}, cell {entry.cell[0]},{entry.cell[1]}, {anchor}, {entry.role}"


def _grid(scale: ScaleScore) -> str:
    return f"{scale.grid[0]}x{scale.grid[1]}"


def _corners(box: CornerBox) -> str:
    return " ".join(str(round(value)) for value in (box.x1, box.y1, box.x2, box.y2))

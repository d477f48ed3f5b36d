"""Tables of worked numbers, with the formula of each filled in: the content of ``yoloscope explain``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Numbers in rows; ``formula``, one line or more, is what they are computed by.

    A column "filled in" holds that formula with its numbers, in arithmetic that can be evaluated (``^`` is a power),
    and a column "text" the number that the text prints.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    formula: str = ""
    note: str = ""


@dataclass(frozen=True)
class Topic:
    """A subject that can be asked for by name; ``tables`` computes its numbers."""

    name: str
    source: str
    summary: str
    tables: Callable[[], Iterator[Table]]

    def as_dict(self) -> dict[str, object]:
        """Return the topic with all of its tables as JSON values, each row by the names of its columns."""
        tables = [
            {
                "title": table.title,
                "formula": table.formula or None,
                "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows],
                "note": table.note or None,
            }
            for table in self.tables()
        ]
        return {"topic": self.name, "source": self.source, "summary": self.summary, "tables": tables}


def in_words(value: float) -> str:
    """Return a number as formulas show it: four significant digits, brackets around what is negative."""
    return f"({value:.4g})" if value < 0 else f"{value:.4g}"


def squared_error(first: float, second: float) -> str:
    """Return (a - b)^2, filled in."""
    return f"({first:.4g} - {in_words(second)})^2"

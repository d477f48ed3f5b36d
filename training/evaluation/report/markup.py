"""Elements of HTML and SVG as text, everything escaped."""

from __future__ import annotations

import math
from html import escape


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, *children: str | float, **attributes: str | float) -> Markup:
    """Return an element; text is escaped unless it is ``Markup``.

    ``_`` in an attribute's name stands for ``-``, one at its end is dropped (``class_``). Numbers lose what lies beyond
    the second decimal.
    """
    written = "".join(f' {_name(key)}="{escape(_value(value))}"' for key, value in attributes.items())
    content = "".join(child if isinstance(child, Markup) else escape(_value(child)) for child in children)
    return Markup(f"<{name}{written}>{content}</{name}>")


def join(*parts: Markup) -> Markup:
    """Return elements one after another."""
    return Markup("\n".join(parts))


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number as it is shown; a dash where there is none (NaN, or COCO's -1)."""
    if value is None or math.isnan(value) or value == -1:
        return "–"  # noqa: RUF001 (the dash of tables)
    return f"{value:.{digits}f}"


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")

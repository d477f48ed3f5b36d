"""Writes the tables of docs/training.md from the configuration: ``python -m tests.training.reference``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from yoloscope.training.config import TrainingConfig
from yoloscope.training.config_keys import FORMER_KEYS, sections

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
START, END = "<!-- tables: begin -->", "<!-- tables: end -->"
_WORDS: dict[object, str] = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    Path: "path",
    NoneType: "null",
    Any: "any value",
}
_BOUNDS = ((Ge, "ge", "at least {}"), (Gt, "gt", "above {}"), (Le, "le", "at most {}"), (Lt, "lt", "below {}"))
_INLINE = ("start", "resize")
"""Keys whose own keys stand in their type."""


def tables() -> str:
    """Return the generated part of the page: a table of the keys at the top, and one for each section."""
    inner = {key: model for key, model in sections(TrainingConfig).items() if key not in _INLINE}
    text = [*_table("### At the top\n", TrainingConfig, TrainingConfig(), leaving=tuple(inner))]
    for key, model in inner.items():
        text += _section(key, model, getattr(TrainingConfig(), key))
    former = ", ".join(f"`{old}` ({new})" for old, new in FORMER_KEYS.items() if "." not in old or "." not in new)
    text += ["### Former names\n", f"Understood, and the new name logged once: {former}; {_renamed()}."]
    return "\n".join(text)


def with_tables(page: str) -> str:
    """Return the page with its generated part renewed."""
    before, rest = page.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{tables()}\n\n{END}{after}"


def _renamed() -> str:
    pairs = [(old, new) for old, new in FORMER_KEYS.items() if "." in old and "." in new]
    return ", ".join(f"`{old}` ({new.partition('.')[2]})" for old, new in pairs)


def _section(key: str, model: type[BaseModel], default: BaseModel | None) -> Iterator[str]:
    off = " Null (the default): none." if default is None else ""
    nullable = " Null: none." if key == "ema" else ""
    yield from _table(f"### {key}\n\n{_first_line(model)}{off}{nullable}\n", model, default)
    for name, inner in sections(model).items():
        yield from _table(
            f"#### {key}.{name}\n\n{_first_line(inner)}\n", inner, getattr(default, name) if default else None
        )


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").partition("\n\n")[0].replace("\n", " ").strip()


def _table(title: str, model: type[BaseModel], default: BaseModel | None, leaving: Sequence[str] = ()) -> Iterator[str]:
    yield title
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    for key, field in model.model_fields.items():
        if key not in leaving:
            meaning = " ".join((field.description or "").split())
            assert meaning, key
            yield f"| `{key}` | {kind_of(field)} | {_default(key, field, default)} | {meaning} |"
    yield ""


def _default(key: str, field: FieldInfo, default: BaseModel | None) -> str:
    if field.is_required():
        return "required"
    value = getattr(default, key) if default is not None else field.get_default(call_default_factory=False)
    if isinstance(value, BaseModel):
        return "below"
    shown = round(value, 5) if isinstance(value, float) else value
    return f"`{json.dumps(shown)}`" if not isinstance(shown, str) else f"`{shown}`"


def kind_of(field: FieldInfo) -> str:
    """Return the type of a key in words."""
    return _type(field.annotation, field.metadata)


def _type(annotation: object, metadata: Sequence[object] = ()) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *more = arguments
        bounds = [bound for one in more for bound in (one.metadata if isinstance(one, FieldInfo) else [one])]
        return _type(inner, bounds)
    if origin in (Union, UnionType):
        kinds = [_type(one, () if one is NoneType else metadata) for one in arguments]
        return " or ".join((", ".join(kinds[:-1]), kinds[-1]))
    if origin is tuple:
        return f"list of {_plural(arguments)}"
    return ", ".join(f"`{value}`" for value in arguments) if origin is Literal else _simple(annotation, metadata)


def _simple(annotation: object, metadata: Sequence[object]) -> str:
    if get_origin(annotation) is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping of " + ", ".join(f"`{key}` ({kind_of(one)})" for key, one in annotation.model_fields.items())
    bounds = [text.format(getattr(one, name)) for kind, name, text in _BOUNDS for one in metadata if type(one) is kind]
    return ", ".join((_WORDS[annotation], *bounds))


def _plural(arguments: Sequence[object]) -> str:
    kind = _type(arguments[0])
    many = re.sub(r"^(whole number|number|path|list)\b", r"\1s", kind)
    return many if arguments[-1] is Ellipsis else f"{len(arguments)} {many}"


def main() -> None:
    """Renew the page."""
    PAGE.write_text(with_tables(PAGE.read_text()))


if __name__ == "__main__":
    main()

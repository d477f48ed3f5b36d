"""Base of all pydantic models, and their first validation error in words."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class StrictModel(BaseModel):
    """A frozen document that has exactly the fields it declares, with finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def first_error(error: ValidationError) -> tuple[str, str]:
    """Return where the first validation error is, as a dotted path (empty: the document), and what it is.

    The message ends with what came, but for a key that is missing.
    """
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    return where, message if first["type"] == "missing" else f"{message}, got {first['input']!r}"

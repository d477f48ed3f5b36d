"""Numbers and texts found in label files, read strictly."""

from __future__ import annotations

import re

from models.errors import LabelError, LabelProblem

_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)


def decimal_of_text(text: str) -> float | None:
    """Return the number that a text writes in plain ASCII decimal, nan and inf included, or None."""
    return float(text) if _DECIMAL.fullmatch(text) else None


def integer_of_text(text: str) -> int | None:
    """Return the integer that a text writes in at most 18 ASCII digits, or None."""
    return int(text) if _INTEGER.fullmatch(text) else None


def decimal_of_json(value: object) -> float | None:
    """Return a JSON number as a float, infinite where it exceeds one, or None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def integer_of_json(value: object) -> int | None:
    """Return a JSON integer (1.0 counts) as an int, or None for any other value."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def shown(value: object) -> str:
    """Return a value as it may be repeated in a message, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def unreadable(pointer: str, detail: str) -> LabelError:
    """Return the error for a file that cannot be read beyond this point."""
    return LabelError(f"labels cannot be read: {pointer or 'the file'}: {detail}", (LabelProblem(pointer, detail),))


def utf8_text(data: bytes) -> str:
    """Decode UTF-8 with or without a byte order mark; raise LabelError for anything else."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable("", f"expected UTF-8 text, got byte 0x{data[error.start]:02x} at {error.start}") from error

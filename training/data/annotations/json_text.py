"""JSON read strictly: no NaN, no key twice, no surprise from depth or length."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from training.data.annotations.values import shown, unreadable, utf8_text


def parse_json(data: bytes) -> object:
    """Return the value of a JSON document; raise LabelError if it is malformed, too deep or repeats a key."""
    text = utf8_text(data)
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise unreadable("", f"expected JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise unreadable("", "expected JSON of moderate depth, got too many levels") from error
    except ValueError as error:
        raise unreadable("", "expected JSON numbers of moderate length, got one of thousands of digits") from error


def _refuse_constant(name: str) -> NoReturn:
    raise unreadable("", f"expected JSON, which has no {name}")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise unreadable("", f"expected each key once, got {shown(twice)} more than once in one object")
    return members


def escape_pointer(key: str) -> str:
    """Return a key as a part of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")

"""Strict parsing of numbers, text, JSON and XML in label files.

JSON: no NaN, no repeated key, bounded depth. XML: no document type declaration, and so no entities; bounded size.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from io import BytesIO
from typing import Any, Final, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from yoloscope.models.classes import decode_text
from yoloscope.models.errors import LabelError, LabelProblem

MAX_XML_DEPTH = 32
MAX_XML_ELEMENTS = 400_000
"""More than 10,000 objects of forty elements each."""
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


def label_text(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 or UTF-32 with a byte order mark; raise LabelError for anything else."""
    try:
        return decode_text(data)
    except UnicodeDecodeError as error:
        got = f"got byte 0x{data[error.start]:02x} at {error.start}"
        raise unreadable("", f"expected UTF-8 text, or UTF-16 with a byte order mark, {got}") from error


def parse_json(data: bytes) -> object:
    """Return the value of a JSON document; raise LabelError if it is malformed, too deep or repeats a key."""
    text = label_text(data)
    try:
        return json.loads(text, **JSON_RULES)
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


JSON_RULES: Final[dict[str, Any]] = {"parse_constant": _refuse_constant, "object_pairs_hook": _unique_keys}
"""Arguments of ``json.loads`` that refuse what is no JSON, and repeated keys."""


def escape_pointer(key: str) -> str:
    """Return a key as a part of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def parse_xml(data: bytes) -> Element:
    """Return the root element of an XML document; raise LabelError if it is malformed, too large or has a DOCTYPE."""
    builder = _BoundedBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.ParseFile(BytesIO(data))
    except LabelError:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise unreadable("", f"expected well-formed XML: {error}") from error
    return builder.close()


class _BoundedBuilder:
    def __init__(self) -> None:
        self._tree = TreeBuilder()
        self._depth = 0
        self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._count > MAX_XML_ELEMENTS:
            raise unreadable("", f"expected XML of at most {MAX_XML_ELEMENTS} elements, got more")
        if self._depth > MAX_XML_DEPTH:
            raise unreadable("", f"expected XML of at most {MAX_XML_DEPTH} levels, got more")
        self._tree.start(tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._tree.end(tag)

    def data(self, text: str) -> None:
        self._tree.data(text)

    def close(self) -> Element:
        return self._tree.close()


def _refuse_doctype(name: str, _system: str | None, _public: str | None, _internal: int) -> None:
    raise unreadable("", f"expected XML without a document type declaration, got one for {shown(name)}")

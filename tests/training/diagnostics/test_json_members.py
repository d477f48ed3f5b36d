"""Members of a JSON document read one by one are those that ``parse_json`` reads at once, errors included."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoloscope.models.errors import LabelError
from yoloscope.training.data.annotations.parsing import parse_json
from yoloscope.training.diagnostics import json_members as module
from yoloscope.training.diagnostics.json_members import json_members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)


@pytest.fixture(autouse=True, params=[1, 3, 64], ids=lambda size: f"pieces of {size}")
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value is cut somewhere, and so are characters of several bytes."""
    monkeypatch.setattr(module, "_PIECE_BYTES", 4 * request.param)


def whole(data: bytes) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, index, value in json_members(BytesIO(data)):
        if index is None:
            document[key] = value
        else:
            assert index == len(document[key])
            document[key].append(value)
    return document


@given(OBJECTS, st.sampled_from([None, 1]), st.booleans(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_any_object_is_read(document: dict[str, Any], indent: int | None, ascii_only: bool, encoding: str) -> None:  # noqa: FBT001
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    assert whole(f" {text}\r\n".encode(encoding, "surrogatepass")) == document


@given(OBJECTS, st.integers(min_value=0), st.sampled_from('{}[],:"0-.x \n'), st.booleans())
def test_what_is_no_json_is_refused_as_at_once(document: dict[str, Any], at: int, character: str, cut: bool) -> None:  # noqa: FBT001
    text = json.dumps(document, indent=1)
    at %= len(text)
    broken = (text[:at] if cut else text[:at] + character + text[at + 1 :]).encode()
    expected: object
    try:
        expected = parse_json(broken)
    except LabelError:
        expected = None
    if isinstance(expected, dict):
        assert whole(broken) == expected
        return
    with pytest.raises(LabelError):
        whole(broken)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected JSON: Expecting value at line 1, column 1"),
        ("[1]", r"expected a JSON object, got \[1\]"),
        ('{"a": 1,\n "a": 2}', "expected each key once, got 'a' more than once"),
        ('{"a": [{"b": 1, "b": 2}]}', "expected each key once, got 'b' more than once"),
        ('{"a": [1,\n2,\n x]}', "Expecting value at line 3, column 2"),
        ('{"a": NaN}', "JSON, which has no NaN"),
        ('{"a": 1} x', "Extra data at line 1, column 10"),
        ('{"a" 1}', "Expecting ':' delimiter at line 1, column 6"),
        ('{"a": [1 2]}', "Expecting ',' delimiter at line 1, column 10"),
        ('{"a": [1,]}', "Expecting value at line 1, column 10"),
        ("{1: 2}", "Expecting property name enclosed in double quotes at line 1, column 2"),
        ('{"a": ' + "[" * 100_000, "moderate depth"),
        ('{"a": ' + "9" * 5000 + "}", "moderate length"),
    ],
)
def test_errors_say_what_and_where(text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        whole(text.encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(LabelError, match=r"expected UTF-8 text, .* got byte 0xff"):
        whole(b'{"a": "\xff"}')


def test_no_more_is_read_than_the_next_member_needs() -> None:
    file = BytesIO(json.dumps({"a": [list(range(50))] * 1000, "b": 1}).encode())
    members = json_members(file)
    for _ in range(3):
        next(members)
    assert file.tell() < 2000

"""Members of a JSON object read one by one: reports of audits have hundreds of thousands of findings in a list."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, NoReturn

from yoloscope.models.classes import text_encoding
from yoloscope.training.data.annotations.parsing import JSON_RULES, shown, unreadable

_PIECE_BYTES: Final = 2**18
_GOES_ON: Final = re.compile(r"[-+.eE0-9]*")
"""What may be the rest of a number that the end of a piece cuts."""
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder(**JSON_RULES)


def json_members(file: BinaryIO) -> Iterator[tuple[str, int | None, Any]]:
    """Yield (key, None, value) of a JSON document's members; of a list (key, None, []), then (key, index, element).

    Of the file no more is held than its longest member or element needs. Raises LabelError as ``parse_json`` does, and
    where the document is no object.
    """
    reader = _Reader(file)
    if reader.next_is() != "{":
        raise unreadable("", f"expected a JSON object, got {shown(reader.value())}")
    keys: set[str] = set()
    for _ in reader.entries("{", "}"):
        if reader.next_is() != '"':
            reader.fail("Expecting property name enclosed in double quotes")
        key = reader.value()
        if key in keys:
            raise unreadable("", f"expected each key once, got {shown(key)} more than once in one object")
        keys.add(key)
        reader.take(":")
        if reader.next_is() != "[":
            yield key, None, reader.value()
            continue
        yield key, None, []
        for index, _ in enumerate(reader.entries("[", "]")):
            yield key, index, reader.value()
    if reader.next_is():
        reader.fail("Extra data")


class _Reader:
    """A text that is read in pieces; what was taken is dropped with the next one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        head = file.read(_PIECE_BYTES)
        self._decoder = codecs.getincrementaldecoder(text_encoding(head))()
        self._text, self._at, self._line, self._column = "", 0, 1, 1
        self._decode(head)

    def next_is(self) -> str:
        """Return the next character that is no space, "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, character: str) -> None:
        if self.next_is() != character:
            self.fail(f"Expecting '{character}' delimiter")
        self._at += 1

    def entries(self, begin: str, end: str) -> Iterator[None]:
        """Stop before every entry of an object or a list."""
        self.take(begin)
        if self.next_is() != end:
            yield
            while self.next_is() != end:
                self.take(",")
                yield
        self.take(end)

    def value(self) -> Any:  # noqa: ANN401 (any JSON)
        self.next_is()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._more():
                    continue
                self._at = error.pos
                self.fail(error.msg)
            except RecursionError as error:
                raise unreadable("", "expected JSON of moderate depth, got too many levels") from error
            except ValueError as error:
                raise unreadable(
                    "", "expected JSON numbers of moderate length, got one of thousands of digits"
                ) from error
            if _GOES_ON.fullmatch(self._text, end) is None or not self._more():
                self._at = end
                return value

    def fail(self, message: str) -> NoReturn:
        self._drop()
        raise unreadable("", f"expected JSON: {message} at line {self._line}, column {self._column}")

    def _more(self) -> bool:
        """Read on, as much as is held already, so that a long value is not tried too often; return False at the end."""
        piece = self._file.read(max(_PIECE_BYTES, len(self._text) - self._at))
        if piece:
            self._drop()
        self._decode(piece)
        return bool(piece)

    def _drop(self) -> None:
        gone = self._text[: self._at]
        lines = gone.count("\n")
        self._column = len(gone) - gone.rfind("\n") if lines else self._column + len(gone)
        self._line += lines
        self._text, self._at = self._text[self._at :], 0

    def _decode(self, piece: bytes) -> None:
        try:
            self._text += self._decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            got = f"got byte 0x{error.object[error.start]:02x}"
            raise unreadable("", f"expected UTF-8 text, or UTF-16 with a byte order mark, {got}") from error

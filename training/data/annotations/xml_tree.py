"""XML read without entities: a document type declaration, and so every entity in it, is refused."""

from __future__ import annotations

from io import BytesIO
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from models.errors import LabelError
from training.data.annotations.values import shown, unreadable

MAX_DEPTH = 32
MAX_ELEMENTS = 400_000
"""More than 10,000 objects of forty elements each."""


class _BoundedBuilder:
    def __init__(self) -> None:
        self._tree = TreeBuilder()
        self._depth = 0
        self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise unreadable("", f"expected XML of at most {MAX_ELEMENTS} elements, got more")
        if self._depth > MAX_DEPTH:
            raise unreadable("", f"expected XML of at most {MAX_DEPTH} levels, got more")
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

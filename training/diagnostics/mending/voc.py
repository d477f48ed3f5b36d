"""Edit VOC XML at the bytes of the elements concerned; everything else, comments and encoding too, stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.diagnostics.mending.edits import Change, ImageEdits, splice

_EDGES: Final = ("xmin", "ymin", "xmax", "ymax")
_OTHER_SHAPES: Final = ("robndbox", "polygon")
_ENCODING: Final = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)")
_INTEGER: Final = re.compile(r"\s*-?\d+(\.0*)?\s*")


@dataclass
class _Element:
    """An element and its bytes: from ``start`` to ``end``, what is in it from ``inner`` to ``inner_end``."""

    tag: str
    start: int
    inner: int = 0
    inner_end: int = 0
    end: int = 0
    children: list[_Element] = field(default_factory=list)

    def find(self, *tags: str) -> list[_Element]:
        return [child for child in self.children if child.tag in tags]


def edit_voc(data: bytes, edits: ImageEdits) -> bytes:
    """Return the XML after the edits: coordinates in whole pixels, unless those of the file are not.

    A moved polygon or rotated box becomes a box. Added objects are indented as the last one is.
    """
    file = _VocFile(data)
    objects = file.root.find("object")
    parts: list[tuple[int, int, bytes]] = []
    places = [int(label.pointer.rpartition("/")[2]) for label in edits.image.labels.objects]
    for index, change in edits.changed.items():
        parts += file.change(objects[places[index]], change)
    parts += [file.removal(objects[places[index]]) for index in edits.deleted]
    if edits.added:
        at, style = file.place_of_new()
        new = "".join(style.write(label.class_name, file.round(label.box_xyxy_px)) for label in edits.added)
        parts.append(file.insertion(at, new))
    return splice(data, parts)


def count_lost_polygons(data: bytes, edits: ImageEdits) -> int:
    """Return how many moved objects have a polygon or rotated box, which they lose."""
    objects = _parse(data).find("object")
    places = [int(edits.label(index).pointer.rpartition("/")[2]) for index in edits.moved()]
    return sum(bool(objects[place].find(*_OTHER_SHAPES)) for place in places)


class _VocFile:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.root = _parse(data)
        self._encoding = _encoding_of(data)
        boxes = [box for one in self.root.find("object") for box in one.find("bndbox")]
        edges = [edge for box in boxes for edge in box.find(*_EDGES)]
        self._whole = all(_INTEGER.fullmatch(self._text(edge.inner, edge.inner_end)) for edge in edges)

    def round(self, box: BoxXyxy) -> tuple[str, ...]:
        """Return the coordinates as they are written: whole pixels at least one apart, or with three decimals."""
        if not self._whole:
            return tuple(f"{value:.3f}".rstrip("0").rstrip(".") for value in box)
        x1, y1, x2, y2 = (round(value) for value in box)
        left, top = (x1, y1) if x2 > x1 and y2 > y1 else (int(box[0]), int(box[1]))
        return str(left), str(top), str(max(x2, left + 1)), str(max(y2, top + 1))

    def change(self, element: _Element, change: Change) -> Iterator[tuple[int, int, bytes]]:
        if change.class_name is not None:
            (name,) = element.find("name")
            yield name.inner, name.inner_end, self._encode(escape(change.class_name))
        if change.box_xyxy_px is not None:
            yield from self._move(element, self.round(change.box_xyxy_px))

    def _move(self, element: _Element, numbers: tuple[str, ...]) -> Iterator[tuple[int, int, bytes]]:
        boxes, others = element.find("bndbox"), element.find(*_OTHER_SHAPES)
        for kind in element.find("type"):
            if self._text(kind.inner, kind.inner_end).strip() in _OTHER_SHAPES:
                yield kind.inner, kind.inner_end, self._encode("bndbox")
        if boxes:
            for edge, number in zip(_EDGES, numbers, strict=True):
                (place,) = boxes[0].find(edge)
                yield place.inner, place.inner_end, self._encode(number)
        else:
            first = others.pop(0)
            box = "".join(f"<{edge}>{number}</{edge}>" for edge, number in zip(_EDGES, numbers, strict=True))
            yield first.start, first.end, self._encode(f"<bndbox>{box}</bndbox>")
        yield from (self.removal(other) for other in others)

    def removal(self, element: _Element) -> tuple[int, int, bytes]:
        """Return the part that removes an element and the white space before it."""
        before = self._space_before(element)
        return element.start - len(self._encode(before)), element.end, b""

    def place_of_new(self) -> tuple[int, _Style]:
        """Return where objects are added, and their indentation: that of the last object, or of what is there."""
        objects = self.root.find("object")
        siblings = objects or self.root.children
        if not siblings:
            return self.root.inner_end, _Style("", "", "", "", "")
        outer = self._space_before(siblings[-1])
        indent = outer.rpartition("\n")[2] if "\n" in outer else None
        step = "" if indent is None else f"\n{indent}{indent or '  '}"
        deeper = "" if indent is None else f"{step}{indent or '  '}"
        style = _Style(outer, step, outer if indent is not None else "", deeper, step)
        if objects and objects[-1].children:
            last = objects[-1]
            inside, tail = self._space_before(last.children[0]), self._space_at_end(last)
            boxes = [box for box in last.find("bndbox") if box.children]
            box_in = self._space_before(boxes[0].children[0]) if boxes else inside
            style = _Style(outer, inside, tail, box_in, self._space_at_end(boxes[0]) if boxes else inside)
        return siblings[-1].end, style

    def insertion(self, at: int, new: str) -> tuple[int, int, bytes]:
        """Return the part that adds elements; an empty root ``<annotation/>`` is opened for them."""
        end = self._encode("/>")
        if not self.root.children and self._data[at - len(end) : at] == end:
            return at - len(end), at, self._encode(f">{new}</{self.root.tag}>")
        return at, at, self._encode(new)

    def _space_before(self, element: _Element) -> str:
        text = self._text(0, element.start)
        return text[len(text.rstrip()) :]

    def _space_at_end(self, element: _Element) -> str:
        text = self._text(element.inner, element.inner_end)
        return text[len(text.rstrip()) :]

    def _text(self, start: int, end: int) -> str:
        return self._data[start:end].decode(self._encoding)

    def _encode(self, text: str) -> bytes:
        return text.encode(self._encoding, "xmlcharrefreplace")


@dataclass(frozen=True)
class _Style:
    """White space before an object, before its parts, before its end, and the same two of ``bndbox``."""

    outer: str
    inside: str
    tail: str
    box_inside: str
    box_tail: str

    def write(self, class_name: str, numbers: tuple[str, ...]) -> str:
        parts = {"name": escape(class_name), "pose": "Unspecified", "truncated": "0", "difficult": "0"}
        plain = "".join(f"{self.inside}<{tag}>{text}</{tag}>" for tag, text in parts.items())
        edges = zip(_EDGES, numbers, strict=True)
        box = "".join(f"{self.box_inside}<{edge}>{number}</{edge}>" for edge, number in edges)
        boxed = f"{self.inside}<bndbox>{box}{self.box_tail}</bndbox>"
        return f"{self.outer}<object>{plain}{boxed}{self.tail}</object>"


def _encoding_of(data: bytes) -> str:
    """Return the encoding of an XML document without its byte order mark, as XML 1.0, appendix F, finds it."""
    for start, encoding in ((b"\xff\xfe", "utf-16-le"), (b"<\0", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(start):
            return encoding
    if data.startswith(b"\0<"):
        return "utf-16-be"
    stated = _ENCODING.match(data.removeprefix(b"\xef\xbb\xbf"))
    return stated.group(1).decode() if stated else "utf-8"


def _parse(data: bytes) -> _Element:
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, _attributes: builder.open(tag, parser.CurrentByteIndex)
    parser.EndElementHandler = lambda _tag: builder.close(parser.CurrentByteIndex)
    parser.CharacterDataHandler = lambda _text: builder.settle(parser.CurrentByteIndex)
    parser.DefaultHandler = lambda _text: builder.settle(parser.CurrentByteIndex)
    parser.Parse(data, True)  # noqa: FBT003 (the argument has no name)
    builder.settle(len(data))
    return builder.root


class _Builder:
    """Collects elements; where a tag ends is known when the next thing begins."""

    def __init__(self) -> None:
        self.root = _Element("", 0)
        self._open: list[_Element] = []
        self._unsettled: tuple[_Element, str] | None = None

    def open(self, tag: str, at: int) -> None:
        self.settle(at)
        element = _Element(tag, at)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._unsettled = element, "inner"

    def close(self, at: int) -> None:
        self.settle(at)
        element = self._open.pop()
        element.inner_end = at
        self._unsettled = element, "end"

    def settle(self, at: int) -> None:
        if self._unsettled is not None:
            setattr(*self._unsettled, at)
        self._unsettled = None

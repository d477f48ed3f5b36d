"""Pascal VOC labels: one XML file per image.

Coordinates are taken as they are written, as edges in pixels (what labeling tools write). The VOC devkit's own
reading, inclusive pixels counted from 1, differs by one pixel at the left and upper edge; under both, ``xmax`` may
equal the image's width. Parts of objects (``object/part``, the person layout task) are not objects. An object without
``bndbox`` is read as the box around its ``robndbox`` or ``polygon``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from xml.etree.ElementTree import Element

from yoloscope.models.errors import LabelProblem
from yoloscope.training.data.annotations.parsing import decimal_of_text, parse_xml, shown, unreadable
from yoloscope.training.data.annotations.shapes import BoxXyxy, LabelShape, ShapePolicy, enclosing_box
from yoloscope.training.data.annotations.structures import LabelContext, LabelObject

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_ROTATED = ("cx", "cy", "w", "h", "angle")
_TRIANGLE = 6
_NOT_STATED = ("", "unspecified")


def read_voc(data: bytes, context: LabelContext) -> Iterator[LabelObject | LabelProblem]:
    """Yield an object or a problem for each ``object``, after a problem if the stated size is not the image's.

    Pointers are ``/annotation/object/I`` with I counted from 0, continued to the element at fault.
    """
    root = parse_xml(data)
    if root.tag != "annotation":
        raise unreadable("", f"expected the root element 'annotation', got {shown(root.tag)}")
    yield from _check_size(root, context)
    for index, element in enumerate(root.iterfind("object")):
        yield _read_object(element, f"/annotation/object/{index}", context)


def _check_size(root: Element, context: LabelContext) -> Iterator[LabelProblem]:
    size = root.find("size")
    if size is None:
        return
    width, height = (decimal_of_text(_text(size.find(side))) for side in ("width", "height"))
    if width is None or height is None:
        yield LabelProblem("/annotation/size", "expected the numbers width and height")
    elif problem := context.size_problem(width, height, "/annotation/size"):
        yield problem


def _read_object(element: Element, pointer: str, context: LabelContext) -> LabelObject | LabelProblem:
    names = element.findall("name")
    if len(names) != 1 or not _text(names[0]):
        return LabelProblem(f"{pointer}/name", f"expected one class name, got {_count(names)}")
    flag = _text(element.find("difficult"))
    flag = "0" if flag.casefold() in _NOT_STATED else flag
    if flag not in ("0", "1"):
        return LabelProblem(f"{pointer}/difficult", f"expected 0 or 1, got {shown(flag)}")
    found = _read_shape(element, pointer, context.shapes)
    if isinstance(found, LabelProblem):
        return found
    box, shape = found
    return replace(context.object_of_name(_text(names[0]), box, pointer, shape), difficult=flag == "1")


def _read_shape(element: Element, pointer: str, shapes: ShapePolicy) -> tuple[BoxXyxy, LabelShape] | LabelProblem:
    boxes = element.findall("bndbox")
    rotated, polygon = element.find("robndbox"), element.find("polygon")
    if not boxes and shapes == "enclose" and (rotated is not None or polygon is not None):
        return _read_rotated(rotated, pointer) if rotated is not None else _read_polygon(polygon, pointer)
    if len(boxes) != 1:
        return LabelProblem(f"{pointer}/bndbox", f"expected one box, got {_count(boxes)}")
    numbers = _read_numbers(boxes[0], _EDGES, f"{pointer}/bndbox")
    return numbers if isinstance(numbers, LabelProblem) else ((numbers[0], numbers[1], numbers[2], numbers[3]), "box")


def _read_rotated(element: Element, pointer: str) -> tuple[BoxXyxy, LabelShape] | LabelProblem:
    """Read a rotated box, its angle in radians (roLabelImg)."""
    numbers = _read_numbers(element, _ROTATED, f"{pointer}/robndbox")
    if isinstance(numbers, LabelProblem):
        return numbers
    cx, cy, width, height, angle = numbers
    if not math.isfinite(angle):
        return LabelProblem(f"{pointer}/robndbox/angle", f"expected a finite angle, got {angle}")
    across, down = abs(math.cos(angle)), abs(math.sin(angle))
    half_width, half_height = (width * across + height * down) / 2, (width * down + height * across) / 2
    return (cx - half_width, cy - half_height, cx + half_width, cy + half_height), "oriented box"


def _read_polygon(element: Element | None, pointer: str) -> tuple[BoxXyxy, LabelShape] | LabelProblem:
    """Read a polygon: ``pt`` elements of ``x`` and ``y`` (LabelMe), or ``x1``, ``y1``, ``x2``, ... (Roboflow)."""
    points = [] if element is None else element.findall("pt")
    parts = [part for point in points for part in (point.find("x"), point.find("y"))]
    if not points and element is not None:
        parts = [part for part in element if part.tag[:1] in ("x", "y") and part.tag[1:].isdigit()]
    numbers = [decimal_of_text(_text(part)) for part in parts]
    known = [number for number in numbers if number is not None]
    if len(known) != len(numbers) or len(known) < _TRIANGLE or len(known) % 2:
        return LabelProblem(f"{pointer}/polygon", "expected three points x, y or more in numbers")
    return enclosing_box(known), "polygon"


def _read_numbers(element: Element, names: Sequence[str], pointer: str) -> list[float] | LabelProblem:
    numbers: list[float] = []
    for name in names:
        found = element.findall(name)
        number = decimal_of_text(_text(found[0])) if len(found) == 1 else None
        if number is None:
            got = shown(_text(found[0])) if len(found) == 1 else _count(found)
            return LabelProblem(f"{pointer}/{name}", f"expected a number, got {got}")
        numbers.append(number)
    return numbers


def _text(element: Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _count(elements: list[Element]) -> str:
    return "an empty one" if len(elements) == 1 else "none" if not elements else str(len(elements))

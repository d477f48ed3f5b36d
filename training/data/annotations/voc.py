"""Pascal VOC labels: one XML file per image.

Coordinates are taken as they are written, as edges in pixels (what labeling tools write). The VOC devkit's own
reading, inclusive pixels counted from 1, differs by one pixel at the left and upper edge; under both, ``xmax`` may
equal the image's width. Parts of objects (``object/part``, the person layout task) are not objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from xml.etree.ElementTree import Element

from yoloscope.models.errors import LabelProblem
from yoloscope.training.data.annotations.parsing import decimal_of_text, parse_xml, shown, unreadable
from yoloscope.training.data.annotations.structures import LabelContext, LabelObject

_EDGES = ("xmin", "ymin", "xmax", "ymax")
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
    names, boxes = element.findall("name"), element.findall("bndbox")
    if len(names) != 1 or not _text(names[0]):
        return LabelProblem(f"{pointer}/name", f"expected one class name, got {_count(names)}")
    if len(boxes) != 1:
        return LabelProblem(f"{pointer}/bndbox", f"expected one box, got {_count(boxes)}")
    flag = _text(element.find("difficult"))
    flag = "0" if flag.casefold() in _NOT_STATED else flag
    if flag not in ("0", "1"):
        return LabelProblem(f"{pointer}/difficult", f"expected 0 or 1, got {shown(flag)}")
    edges: list[float] = []
    for edge in _EDGES:
        found = boxes[0].findall(edge)
        number = decimal_of_text(_text(found[0])) if len(found) == 1 else None
        if number is None:
            got = shown(_text(found[0])) if len(found) == 1 else _count(found)
            return LabelProblem(f"{pointer}/bndbox/{edge}", f"expected a number, got {got}")
        edges.append(number)
    box = (edges[0], edges[1], edges[2], edges[3])
    return replace(context.object_of_name(_text(names[0]), box, pointer), difficult=flag == "1")


def _text(element: Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _count(elements: list[Element]) -> str:
    return "an empty one" if len(elements) == 1 else "none" if not elements else str(len(elements))

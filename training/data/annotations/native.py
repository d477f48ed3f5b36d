"""Native label JSON, the project's own format.

``{"objects": [{"class_name": "dog", "box": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}]}``: boxes in pixels of the image;
``class_id`` may stand instead of or beside ``class_name``; ``difficult`` and ``crowd`` are optional. A stated
``"image": {"width": .., "height": ..}`` is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import replace
from typing import Any

from yoloscope.models.errors import LabelProblem
from yoloscope.training.data.annotations.parsing import (
    decimal_of_json,
    escape_pointer,
    integer_of_json,
    shown,
    unreadable,
)
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.data.annotations.structures import LabelContext, LabelObject

_CORNERS = ("x1", "y1", "x2", "y2")
_OBJECT_KEYS = frozenset(("class_name", "class_id", "box", "difficult", "crowd"))


def read_native(document: object, context: LabelContext) -> Iterator[LabelObject | LabelProblem]:
    """Yield an object or a problem for each entry of ``objects``; pointers are ``/objects/I``, continued where useful.

    Unknown keys are problems.
    """
    if not isinstance(document, dict) or not isinstance(document.get("objects"), list):
        raise unreadable("/objects", "expected an object with a list 'objects'")
    if problem := _unknown_key(document, {"objects", "image"}, ""):
        yield problem
    yield from _check_size(document, context)
    for index, entry in enumerate(document["objects"]):
        yield _read_object(entry, f"/objects/{index}", context)


def _check_size(document: dict[str, Any], context: LabelContext) -> Iterator[LabelProblem]:
    if "image" not in document:
        return
    image = document["image"] if isinstance(document["image"], dict) else {}
    width, height = decimal_of_json(image.get("width")), decimal_of_json(image.get("height"))
    if width is None or height is None:
        yield LabelProblem("/image", f"expected the numbers width and height, got {shown(document['image'])}")
    elif problem := context.size_problem(width, height, "/image"):
        yield problem


def _read_object(entry: object, pointer: str, context: LabelContext) -> LabelObject | LabelProblem:
    if not isinstance(entry, dict):
        return LabelProblem(pointer, f"expected an object, got {shown(entry)}")
    if problem := _unknown_key(entry, _OBJECT_KEYS, pointer):
        return problem
    for key in ("difficult", "crowd"):
        if not isinstance(entry.get(key, False), bool):
            return LabelProblem(f"{pointer}/{key}", f"expected true or false, got {shown(entry[key])}")
    box = _read_box(entry.get("box"), f"{pointer}/box")
    if isinstance(box, LabelProblem):
        return box
    label = _read_class(entry, box, pointer, context)
    if isinstance(label, LabelProblem):
        return label
    return replace(label, difficult=entry.get("difficult", False), crowd=entry.get("crowd", False))


def _read_box(value: object, pointer: str) -> BoxXyxy | LabelProblem:
    if not isinstance(value, dict):
        return LabelProblem(pointer, f"expected an object with x1, y1, x2, y2, got {shown(value)}")
    if problem := _unknown_key(value, frozenset(_CORNERS), pointer):
        return problem
    corners: list[float] = []
    for corner in _CORNERS:
        number = decimal_of_json(value.get(corner))
        if number is None:
            return LabelProblem(f"{pointer}/{corner}", f"expected a number, got {shown(value.get(corner))}")
        corners.append(number)
    return corners[0], corners[1], corners[2], corners[3]


def _read_class(entry: dict[str, Any], box: BoxXyxy, pointer: str, context: LabelContext) -> LabelObject | LabelProblem:
    name, number = entry.get("class_name"), entry.get("class_id")
    if name is None and number is None:
        return LabelProblem(pointer, "expected class_name or class_id, got neither")
    if name is not None and not isinstance(name, str):
        return LabelProblem(f"{pointer}/class_name", f"expected a text, got {shown(name)}")
    class_id = integer_of_json(number)
    if number is not None and class_id is None:
        return LabelProblem(f"{pointer}/class_id", f"expected an integer, got {shown(number)}")
    if class_id is None:
        return context.object_of_name(str(name), box, pointer)
    label = context.object_of_id(class_id, box, pointer)
    if name is not None and context.classes.by_name(name) != label.class_id:
        return LabelProblem(pointer, f"expected one class, got class_name {shown(name)} and class_id {class_id}")
    return label


def _unknown_key(members: dict[str, Any], known: Set[str], pointer: str) -> LabelProblem | None:
    for key in members:
        if key not in known:
            return LabelProblem(f"{pointer}/{escape_pointer(key[:60])}", f"expected {', '.join(sorted(known))} only")
    return None

"""YOLO text labels: one line per object, ``class cx cy w h``, the box as fractions of the image.

Other exporters' lines are read as the box that encloses them: ``class x1 y1 x2 y2 x3 y3 ...`` is a polygon, of four
points an oriented box, and a sixth column behind a box is a score.
"""

from __future__ import annotations

from collections.abc import Iterator

from yoloscope.models.errors import LabelProblem
from yoloscope.training.data.annotations.parsing import decimal_of_text, integer_of_text, label_text, shown
from yoloscope.training.data.annotations.shapes import BoxXyxy, LabelShape, enclosing_box
from yoloscope.training.data.annotations.structures import LabelContext, LabelObject

_COLUMNS = ("class", "cx", "cy", "w", "h")
_BOX, _SCORED, _TRIANGLE, _QUADRANGLE = 5, 6, 7, 9
_EXPECTED = "expected 5 columns (class cx cy w h)"


def read_yolo(data: bytes, context: LabelContext) -> Iterator[LabelObject | LabelProblem]:
    """Yield an object or a problem for each line that is not blank, in order.

    Pointers are ``/lines/I`` with I counted from 0 and blank lines included. Source: darknet ``read_boxes``,
    src/data.c; unlike darknet, a line of any other number of columns is an error.
    """
    for index, line in enumerate(label_text(data).splitlines()):
        fields = line.split()
        if fields:
            yield _read_line(fields, f"/lines/{index}", context)


def _read_line(fields: list[str], pointer: str, context: LabelContext) -> LabelObject | LabelProblem:
    shape = _shape(len(fields))
    if shape is None:
        points = ", or a class and the points x y of a polygon" if len(fields) >= _TRIANGLE else ""
        return LabelProblem(pointer, f"{_EXPECTED}{points}, got {len(fields)}")
    if shape != "box" and context.shapes == "refuse":
        hint = "a score is no part of a label" if shape == "scored box" else "polygons are not boxes"
        return LabelProblem(pointer, f"{_EXPECTED}, got {len(fields)}; {hint}")
    class_id = integer_of_text(fields[0].removesuffix(".0"))
    if class_id is None:
        return LabelProblem(pointer, f"expected a class id, got {shown(fields[0])}")
    numbers: list[float] = []
    for column, field in zip(_columns(shape, len(fields)), fields[1:], strict=True):
        number = decimal_of_text(field)
        if number is None:
            return LabelProblem(pointer, f"expected a number for {column}, got {shown(field)}")
        numbers.append(number)
    box = _center_box(numbers[:4]) if shape in ("box", "scored box") else enclosing_box(numbers)
    width, height = context.image_width, context.image_height
    box_px = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
    return _object(class_id, box_px, pointer, shape, context)


def _object(
    class_id: int, box_px: BoxXyxy, pointer: str, shape: LabelShape, context: LabelContext
) -> LabelObject | LabelProblem:
    names = context.yolo_names
    if names is None:
        return context.object_of_id(class_id, box_px, pointer, shape)
    if not 0 <= class_id < len(names):
        return LabelProblem(pointer, f"expected a class id of 0..{len(names) - 1}, got {class_id}")
    return context.object_of_name(names[class_id], box_px, pointer, shape)


def _shape(columns: int) -> LabelShape | None:
    if columns in (_BOX, _SCORED):
        return "box" if columns == _BOX else "scored box"
    if columns < _TRIANGLE or columns % 2 == 0:
        return None
    return "oriented box" if columns == _QUADRANGLE else "polygon"


def _columns(shape: LabelShape, count: int) -> list[str]:
    if shape in ("box", "scored box"):
        return [*_COLUMNS[1:], "score"][: count - 1]
    return [f"{axis}{point}" for point in range(1, (count + 1) // 2) for axis in "xy"]


def _center_box(numbers: list[float]) -> BoxXyxy:
    cx, cy, w, h = numbers
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2

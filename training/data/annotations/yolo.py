"""YOLO text labels: one line per object, ``class cx cy w h``, the box as fractions of the image."""

from __future__ import annotations

from collections.abc import Iterator

from yoloscope.models.errors import LabelProblem
from yoloscope.training.data.annotations.parsing import decimal_of_text, integer_of_text, shown, utf8_text
from yoloscope.training.data.annotations.structures import LabelContext, LabelObject

_COLUMNS = ("class", "cx", "cy", "w", "h")


def read_yolo(data: bytes, context: LabelContext) -> Iterator[LabelObject | LabelProblem]:
    """Yield an object or a problem for each line that is not blank, in order.

    Pointers are ``/lines/I`` with I counted from 0 and blank lines included. Source: darknet ``read_boxes``,
    src/data.c; unlike darknet, a line of more or fewer than five columns is an error.
    """
    for index, line in enumerate(utf8_text(data).splitlines()):
        fields = line.split()
        if fields:
            yield _read_line(fields, f"/lines/{index}", context)


def _read_line(fields: list[str], pointer: str, context: LabelContext) -> LabelObject | LabelProblem:
    if len(fields) != len(_COLUMNS):
        hint = "; polygons are not boxes" if len(fields) > 6 else "; a score is no part of a label"
        hint = hint if len(fields) > 5 else ""
        return LabelProblem(pointer, f"expected 5 columns ({' '.join(_COLUMNS)}), got {len(fields)}{hint}")
    class_id = integer_of_text(fields[0])
    if class_id is None:
        return LabelProblem(pointer, f"expected a class id, got {shown(fields[0])}")
    numbers: list[float] = []
    for column, field in zip(_COLUMNS[1:], fields[1:], strict=True):
        number = decimal_of_text(field)
        if number is None:
            return LabelProblem(pointer, f"expected a number for {column}, got {shown(field)}")
        numbers.append(number)
    cx, cy, w, h = numbers
    width, height = context.image_width, context.image_height
    box = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
    return context.object_of_id(class_id, box, pointer)

"""Labels that are no plain boxes (polygons, oriented boxes, masks, boxes with a score) and the boxes that enclose them.

A COCO mask is run-length encoded: lengths of runs of 0 and 1 in turn, 0 first, down the columns of the image; either
as a list of numbers or compressed into a text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from yoloscope.training.data.annotations.parsing import decimal_of_json, integer_of_json

BoxXyxy: TypeAlias = tuple[float, float, float, float]
LabelShape: TypeAlias = Literal["box", "scored box", "polygon", "oriented box", "mask"]
ShapePolicy: TypeAlias = Literal["enclose", "refuse"]
"""Read labels of other shapes as the boxes that enclose them, or as problems."""

_IN_WORDS: dict[LabelShape, tuple[str, str]] = {
    "scored box": ("box with a score", "boxes with a score"),
    "polygon": ("polygon", "polygons"),
    "oriented box": ("oriented box", "oriented boxes"),
    "mask": ("mask", "masks"),
}
_DIGIT_BITS, _DIGIT_OFFSET = 5, 48
_MORE, _SIGN = 0x20, 0x10


def count_shapes(shapes: Counter[LabelShape]) -> str:
    """Return in words how many labels are no plain boxes, by their shapes; empty where all are."""
    return ", ".join(
        f"{shapes[shape]} {words[shapes[shape] > 1]}" for shape, words in _IN_WORDS.items() if shapes[shape]
    )


def enclosing_box(points: Sequence[float]) -> BoxXyxy:
    """Return the box around points x1, y1, x2, y2, ...; all NaN where one of them is."""
    if any(map(math.isnan, points)):
        return (float("nan"),) * 4
    return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])


def polygons_box(polygons: Sequence[object]) -> BoxXyxy:
    """Return the box around COCO polygons, lists ``[x1, y1, x2, y2, ...]``; raise ValueError where they are none."""
    points: list[float] = []
    for polygon in polygons:
        numbers = [decimal_of_json(value) for value in polygon] if isinstance(polygon, list) else []
        known = [number for number in numbers if number is not None]
        if len(known) != len(numbers) or len(known) < 6 or len(known) % 2:
            raise ValueError("expected polygons of three points [x1, y1, x2, y2, x3, y3, ...] or more")
        points += known
    if not points:
        raise ValueError("expected a polygon, got none")
    return enclosing_box(points)


def mask_box(mask: dict[str, Any], image_size: tuple[int, int]) -> BoxXyxy:
    """Return the box around a COCO mask ``{"size": [height, width], "counts": ...}`` in pixels.

    Raises ValueError where the mask is malformed or empty, or not of ``image_size`` (width, height).
    """
    size = mask.get("size")
    height, width = (integer_of_json(side) for side in size) if isinstance(size, list) and len(size) == 2 else (0, 0)
    if not height or not width or (width, height) != image_size:
        raise ValueError(f"expected a mask of size [{image_size[1]}, {image_size[0]}] (height, width), got {size!r}")
    counts = _runs(mask.get("counts"))
    if min(counts, default=0) < 0 or sum(counts) != width * height:
        raise ValueError(f"expected runs of {width * height} pixels in all, got {sum(counts)}")
    return _runs_box(counts, height)


def _runs(counts: object) -> list[int]:
    if isinstance(counts, str):
        return _decompress(counts)
    runs = [integer_of_json(count) for count in counts] if isinstance(counts, list) else [None]
    known = [run for run in runs if run is not None]
    if len(known) != len(runs):
        raise ValueError("expected counts as a list of integers or a text")
    return known


def _decompress(text: str) -> list[int]:
    """Return the runs of a text: numbers of 5 bits a character, lowest first; from the fourth, differences by two.

    Source: cocoapi common/maskApi.c, rleFrString.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        digit = ord(character) - _DIGIT_OFFSET
        if not 0 <= digit < 2 * _MORE or shift > 8 * _DIGIT_BITS:
            raise ValueError(f"expected compressed counts, got the character {character!r}")
        value |= (digit & (_MORE - 1)) << shift
        shift += _DIGIT_BITS
        if digit & _MORE:
            continue
        value -= (1 << shift) if digit & _SIGN else 0
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("expected compressed counts, got a text that is cut off")
    return runs


def _runs_box(counts: Sequence[int], height: int) -> BoxXyxy:
    left, top, right, bottom = float("inf"), float("inf"), 0, 0
    start = 0
    for index, count in enumerate(counts):
        if index % 2 and count:
            (first_column, first_row), (last_column, last_row) = (
                divmod(start, height),
                divmod(start + count - 1, height),
            )
            if first_column != last_column:
                first_row, last_row = 0, height - 1
            left, right = min(left, first_column), max(right, last_column + 1)
            top, bottom = min(top, first_row), max(bottom, last_row + 1)
        start += count
    if not right:
        raise ValueError("expected a mask of at least one pixel, got an empty one")
    return float(left), float(top), float(right), float(bottom)

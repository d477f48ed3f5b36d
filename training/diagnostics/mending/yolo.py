"""Edit YOLO text labels line by line; every other line keeps its bytes."""

from __future__ import annotations

import re
from typing import Final

from yoloscope.models.classes import encode_text
from yoloscope.training.data.annotations.parsing import label_text
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.diagnostics.mending.edits import Change, ImageEdits

_WORDS: Final = re.compile(r"\S+|\s+")


def edit_yolo(data: bytes, edits: ImageEdits) -> bytes:
    """Return the label file after the edits, in its encoding; a moved polygon becomes a box, a score stays."""
    lines = label_text(data).splitlines(keepends=True)
    places = [int(label.pointer.removeprefix("/lines/")) for label in edits.image.labels.objects]
    for index, change in edits.changed.items():
        lines[places[index]] = _edit_line(lines[places[index]], change, edits, is_box=_is_box(edits, index))
    gone = {places[index] for index in edits.deleted}
    kept = [line for number, line in enumerate(lines) if number not in gone]
    ending = next((line[len(line.rstrip("\r\n")) :] for line in lines if line.endswith(("\r", "\n"))), "\n")
    if edits.added and kept and not kept[-1].endswith(("\r", "\n")):
        kept[-1] += ending
    kept += [f"{label.class_id} {_fractions(label.box_xyxy_px, edits)}{ending}" for label in edits.added]
    return encode_text("".join(kept), like=data)


def count_lost_polygons(edits: ImageEdits) -> int:
    """Return how many moved objects are polygons or oriented boxes, which become boxes."""
    return sum(not _is_box(edits, index) for index in edits.moved())


def _is_box(edits: ImageEdits, index: int) -> bool:
    return edits.label(index).shape in ("box", "scored box")


def _edit_line(line: str, change: Change, edits: ImageEdits, *, is_box: bool) -> str:
    words = _WORDS.findall(line)
    fields = [position for position, word in enumerate(words) if not word.isspace()]
    if change.class_id is not None:
        words[fields[0]] = str(change.class_id)
    if change.box_xyxy_px is None:
        return "".join(words)
    numbers = _fractions(change.box_xyxy_px, edits)
    if is_box:
        for position, number in zip(fields[1:5], numbers.split(), strict=True):
            words[position] = number
        return "".join(words)
    return "".join((*words[: fields[1]], numbers, *words[fields[-1] + 1 :]))


def _fractions(box: BoxXyxy, edits: ImageEdits) -> str:
    x1, y1, x2, y2 = box
    width, height = edits.image.width, edits.image.height
    values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return " ".join(f"{value:.8f}".rstrip("0").rstrip(".") for value in values)

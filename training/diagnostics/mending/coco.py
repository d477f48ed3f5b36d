"""Edit COCO JSON at the annotations concerned; everything else keeps its bytes, other keys and spacing too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from yoloscope.models.classes import encode_text
from yoloscope.training.data.annotations.parsing import integer_of_json, label_text
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.diagnostics.mending.edits import ImageEdits, splice

_Span: TypeAlias = tuple[int, int]
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()


def edit_coco(
    data: bytes, edits: Sequence[ImageEdits], category_ids: Sequence[int], new_classes: Iterable[str]
) -> bytes:
    """Return the file after the edits of some of its images.

    ``category_ids`` are those of the data set's classes; ``new_classes`` become categories behind them. A moved object
    loses its ``segmentation`` and gets the area of its box; an added one has the next free id.
    """
    text = label_text(data)
    top = _members(text, _skip(text, 0))
    categories = _ArrayEdit(text, top["categories"][0])
    ids = list(category_ids)
    next_id = max((integer_of_json(entry.get("id")) or 0 for entry in categories.values()), default=0) + 1
    for offset, name in enumerate(new_classes):
        categories.added.append(json.dumps({"id": next_id + offset, "name": name}, ensure_ascii=False))
        ids.append(next_id + offset)
    annotations = _ArrayEdit(text, top["annotations"][0])
    for one in edits:
        _change(annotations, one, ids)
    image_ids = _image_ids([json.loads(text[slice(*span)]) for span in _elements(text, top["images"][0])])
    next_id = max((integer_of_json(entry.get("id")) or 0 for entry in annotations.values()), default=0) + 1
    added = [(one.image, label) for one in edits for label in one.added]
    for offset, (image, label) in enumerate(added):
        x, y, width, height = _xywh(label.box_xyxy_px)
        entry = {"id": next_id + offset, "image_id": image_ids[image.image_id], "category_id": ids[label.class_id]}
        entry |= {"bbox": [x, y, width, height], "area": round(width * height, 3), "iscrowd": 0, "segmentation": []}
        annotations.added.append(json.dumps(entry, ensure_ascii=False))
    return encode_text(splice(text, [*categories.parts(), *annotations.parts()]), like=data)


def count_lost_masks(data: bytes, edits: Iterable[ImageEdits]) -> int:
    """Return how many moved objects have a segmentation, which they lose."""
    annotations = json.loads(label_text(data))["annotations"]
    return sum(bool(annotations[_places(one)[index]].get("segmentation")) for one in edits for index in one.moved())


def _places(edits: ImageEdits) -> dict[int, int]:
    labels = edits.image.labels.objects
    return {index: int(label.pointer.removeprefix("/annotations/")) for index, label in enumerate(labels)}


def _change(annotations: _ArrayEdit, edits: ImageEdits, category_ids: Sequence[int]) -> None:
    places = _places(edits)
    annotations.deleted |= {places[index] for index in edits.deleted}
    for index, change in edits.changed.items():
        entry = annotations.value(places[index])
        values: dict[str, Any] = {}
        if change.class_id is not None:
            values["category_id"] = category_ids[change.class_id]
        if change.box_xyxy_px is not None:
            box = _xywh(change.box_xyxy_px)
            values["bbox"] = list(box)
            values |= {"area": round(box[2] * box[3], 3)} if "area" in entry else {}
            values |= {"segmentation": []} if entry.get("segmentation") else {}
        annotations.changed[places[index]] = values


def _image_ids(images: Sequence[Mapping[str, Any]]) -> dict[int, object]:
    """Return the ids of images as they are written, by those of ``LabeledImage``: numbers, or positions from 1."""
    numbers = [integer_of_json(image.get("id")) for image in images]
    known = [position if None in numbers or number is None else number for position, number in enumerate(numbers, 1)]
    return {number: image.get("id") for number, image in zip(known, images, strict=True)}


def _xywh(box: BoxXyxy) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    return round(x1, 3), round(y1, 3), round(x2 - x1, 3), round(y2 - y1, 3)


class _ArrayEdit:
    """Edits of an array of objects in a JSON text: elements left out, with other members, and added at the end."""

    def __init__(self, text: str, start: int) -> None:
        self._text, self._start = text, start
        self._spans = _elements(text, start)
        self.deleted: set[int] = set()
        self.changed: dict[int, Mapping[str, Any]] = {}
        self.added: list[str] = []

    def value(self, position: int) -> dict[str, Any]:
        entry: dict[str, Any] = json.loads(self._text[slice(*self._spans[position])])
        return entry

    def values(self) -> Iterable[dict[str, Any]]:
        return map(self.value, range(len(self._spans)))

    def parts(self) -> list[tuple[int, int, str]]:
        """Return the parts to splice; separators stay those that stood before each element."""
        parts = [
            part for position, values in self.changed.items() for part in self._members(self._spans[position], values)
        ]
        if not self.deleted and not self.added:
            return parts
        kept = [position for position in range(len(self._spans)) if position not in self.deleted]
        parts += self._removals(kept)
        if self.added:
            last = self._spans[kept[-1]][1] if kept else self._end_of_space()
            separator = self._text[self._spans[-2][1] : self._spans[-1][0]] if len(self._spans) > 1 else ", "
            parts.append((last, last, (separator if kept else "") + separator.join(self.added)))
        return parts

    def _removals(self, kept: Sequence[int]) -> Iterable[tuple[int, int, str]]:
        """Yield one part for each run of deleted elements, with the separator before it, or after it at the start."""
        first = kept[0] if kept else len(self._spans)
        if first and kept:
            yield self._spans[0][0], self._spans[first][0], ""
        elif first:
            yield self._spans[0][0], self._spans[-1][1], ""
        for position, following in zip(kept, [*kept, len(self._spans)][1:], strict=True):
            if following > position + 1:
                yield self._spans[position][1], self._spans[following - 1][1], ""

    def _end_of_space(self) -> int:
        return self._spans[0][0] if self._spans else _skip(self._text, self._start + 1)

    def _members(self, span: _Span, values: Mapping[str, Any]) -> Iterable[tuple[int, int, str]]:
        found = _members(self._text, span[0])
        last = max(end for _, end in found.values())
        for key, value in values.items():
            new = json.dumps(value)
            start, end = found.get(key, (last, last))
            yield start, end, new if key in found else f", {json.dumps(key)}: {new}"


def _members(text: str, start: int) -> dict[str, _Span]:
    """Return where the values of the object at ``start`` stand, by key."""
    found: dict[str, _Span] = {}
    at = _skip(text, start + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        value_start = _skip(text, _skip(text, at) + 1)
        _, value_end = _DECODER.raw_decode(text, value_start)
        found[key] = value_start, value_end
        at = _skip(text, value_end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return found


def _elements(text: str, start: int) -> list[_Span]:
    """Return where the elements of the array at ``start`` stand."""
    spans: list[_Span] = []
    at = _skip(text, start + 1)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        spans.append((at, end))
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return spans


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at

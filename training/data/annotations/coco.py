"""COCO instance labels: one JSON file for many images, sparse category ids, boxes ``[x, y, w, h]`` in pixels.

An annotation without ``bbox`` is read as the box around its ``segmentation``, polygons or a run-length encoded mask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PureWindowsPath
from typing import Any

from yoloscope.models.errors import LabelProblem
from yoloscope.training.data.annotations.parsing import decimal_of_json, integer_of_json, shown, unreadable
from yoloscope.training.data.annotations.shapes import BoxXyxy, LabelShape, ShapePolicy, mask_box, polygons_box
from yoloscope.training.data.annotations.structures import LabelContext, LabelObject


@dataclass(frozen=True)
class CocoFile:
    """A parsed COCO file, its annotations grouped by image.

    ``annotations`` holds (position in the file, entry) per image id. Categories go by their names: the ids of a file
    need not be those of the model.
    """

    images: tuple[dict[str, Any], ...]
    annotations: dict[int | str, list[tuple[int, dict[str, Any]]]]
    category_names: dict[int, str]

    @classmethod
    def parse(cls, document: object) -> CocoFile:
        """Check the outline of a parsed file; raise LabelError where it is not COCO's."""
        if not isinstance(document, dict):
            raise unreadable("", f"expected an object with images, annotations and categories, got {shown(document)}")
        for key in ("images", "annotations", "categories"):
            _check_entries(document.get(key), f"/{key}")
        annotations: dict[int | str, list[tuple[int, dict[str, Any]]]] = {}
        for index, entry in enumerate(document["annotations"]):
            image_id = _identifier(entry.get("image_id"), f"/annotations/{index}/image_id")
            annotations.setdefault(image_id, []).append((index, entry))
        return cls(tuple(document["images"]), annotations, _category_names(document["categories"]))

    def orphan_annotations(self) -> Iterator[LabelProblem]:
        """Yield a problem for each annotation of an image that the file does not list."""
        listed = {image_id for image_id, _ in self._image_ids()}
        for image_id, entries in self.annotations.items():
            if image_id not in listed:
                detail = f"expected the id of one of the file's images, got {shown(image_id)}"
                yield from (LabelProblem(f"/annotations/{index}/image_id", detail) for index, _ in entries)

    def repeated_images(self) -> dict[int, LabelProblem]:
        """Return a problem for the position of each image whose id another one has too."""
        ids = tuple(self._image_ids())
        counts = Counter(image_id for image_id, _ in ids)
        return {
            position: LabelProblem(
                f"/images/{position}/id", f"expected each id once, got {shown(image_id)} {counts[image_id]} times"
            )
            for image_id, position in ids
            if counts[image_id] > 1
        }

    def _image_ids(self) -> Iterator[tuple[int | str, int]]:
        for position, image in enumerate(self.images):
            value = image.get("id")
            image_id = value if isinstance(value, str) else integer_of_json(value)
            if image_id is not None:
                yield image_id, position

    def find_image(self, file_name: str | None) -> int:
        """Return the position of an image: of its exact name, else of its last path component, else the only one.

        Both slashes and backslashes separate path components.
        """
        if len(self.images) == 1:
            return 0
        if file_name is None:
            raise unreadable("/images", f"expected the image's file name to choose one of {len(self.images)} images")
        names = [str(image.get("file_name")) for image in self.images]
        last = PureWindowsPath(file_name).name
        exact = [index for index, name in enumerate(names) if name == file_name]
        found = exact or [index for index, name in enumerate(names) if PureWindowsPath(name).name == last]
        if len(found) != 1:
            raise unreadable("/images", f"expected one image named {shown(file_name)}, got {len(found)}")
        return found[0]

    def read(self, context: LabelContext) -> Iterator[LabelObject | LabelProblem]:
        """Yield an object or a problem for each annotation of the image ``context.file_name``; see ``read_image``."""
        return self.read_image(self.find_image(context.file_name), context)

    def read_image(self, position: int, context: LabelContext) -> Iterator[LabelObject | LabelProblem]:
        """Yield an object or a problem for each annotation of the image at ``position`` in ``images``.

        Pointers are ``/annotations/I`` with I the position in the whole file. Annotations of other images are not
        looked at. A problem comes first if the file states another size than the image's.
        """
        image, pointer = self.images[position], f"/images/{position}"
        width, height = decimal_of_json(image.get("width", 0)), decimal_of_json(image.get("height", 0))
        if width is None or height is None:
            yield LabelProblem(pointer, "expected numbers for width and height")
        elif problem := context.size_problem(width, height, pointer):
            yield problem
        image_id = _identifier(image.get("id"), f"{pointer}/id")
        for index, entry in self.annotations.get(image_id, ()):
            yield self._read_annotation(entry, f"/annotations/{index}", context)

    def _read_annotation(
        self, entry: dict[str, Any], pointer: str, context: LabelContext
    ) -> LabelObject | LabelProblem:
        category = integer_of_json(entry.get("category_id"))
        if category is None or category not in self.category_names:
            got = shown(entry.get("category_id"))
            return LabelProblem(f"{pointer}/category_id", f"expected the id of one of the file's categories, got {got}")
        crowd = entry.get("iscrowd")
        crowd = 0 if crowd is None else crowd
        if crowd not in (0, 1):
            return LabelProblem(f"{pointer}/iscrowd", f"expected 0 or 1, got {shown(crowd)}")
        box, shape = _read_box(entry, pointer, (context.image_width, context.image_height), context.shapes)
        if isinstance(box, LabelProblem):
            return box
        label = context.object_of_name(self.category_names[category], box, pointer, shape)
        return replace(label, crowd=bool(crowd))


def _read_box(
    entry: dict[str, Any], pointer: str, image_size: tuple[int, int], shapes: ShapePolicy
) -> tuple[BoxXyxy | LabelProblem, LabelShape]:
    bbox, segmentation = entry.get("bbox"), entry.get("segmentation")
    if not bbox and segmentation and shapes == "enclose":
        shape: LabelShape = "mask" if isinstance(segmentation, dict) else "polygon"
        try:
            return _segmentation_box(segmentation, image_size), shape
        except ValueError as error:
            return LabelProblem(f"{pointer}/segmentation", str(error)), shape
    numbers = [decimal_of_json(value) for value in bbox] if isinstance(bbox, list) else []
    values = [number for number in numbers if number is not None]
    if len(numbers) != 4 or len(values) != 4:
        return LabelProblem(f"{pointer}/bbox", f"expected four numbers [x, y, w, h], got {shown(bbox)}"), "box"
    x, y, w, h = values
    return (x, y, x + w, y + h), "box"


def _segmentation_box(segmentation: object, image_size: tuple[int, int]) -> BoxXyxy:
    if isinstance(segmentation, dict):
        return mask_box(segmentation, image_size)
    if not isinstance(segmentation, list):
        raise ValueError(f"expected polygons, or an object with size and counts, got {shown(segmentation)}")  # noqa: TRY004
    return polygons_box(segmentation)


def _check_entries(entries: object, pointer: str) -> None:
    if not isinstance(entries, list):
        raise unreadable(pointer, f"expected a list, got {shown(entries)}")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise unreadable(f"{pointer}/{index}", f"expected an object, got {shown(entry)}")


def _identifier(value: object, pointer: str) -> int | str:
    if isinstance(value, str):
        return value
    number = integer_of_json(value)
    if number is None:
        raise unreadable(pointer, f"expected an image id, got {shown(value)}")
    return number


def _category_names(categories: list[dict[str, Any]]) -> dict[int, str]:
    names: dict[int, str] = {}
    for index, category in enumerate(categories):
        identifier, name = integer_of_json(category.get("id")), category.get("name")
        if identifier is None or not isinstance(name, str):
            raise unreadable(f"/categories/{index}", "expected an integer id and a name")
        if identifier in names:
            raise unreadable(f"/categories/{index}/id", f"expected each id once, got {identifier} again")
        names[identifier] = name
    return names

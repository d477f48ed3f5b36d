"""Labels of one image, independent of the file format they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import LabelProblem
from yoloscope.training.data.annotations.shapes import BoxXyxy, LabelShape, ShapePolicy

LabelFormat: TypeAlias = Literal["yolo", "voc", "coco", "native"]
LabelsFormat: TypeAlias = Literal["auto", "yolo", "voc", "coco", "native"]
"""A format as a caller names it; ``auto`` detects it."""


@dataclass(frozen=True)
class LabelObject:
    """One labeled object.

    ``class_id`` is ``UNKNOWN_CLASS`` where the model has no such class; ``class_name`` is then the file's. The box is
    in pixels of the upright image and encloses the ``shape`` that the file gives; ``pointer`` is the JSON pointer of
    the object's place in the file.
    """

    class_id: int
    class_name: str
    box_xyxy_px: BoxXyxy
    pointer: str
    difficult: bool = False
    crowd: bool = False
    shape: LabelShape = "box"


@dataclass(frozen=True)
class ImageLabels:
    """The objects of one image in the order of their file."""

    objects: tuple[LabelObject, ...]
    image_width: int
    image_height: int
    label_format: LabelFormat

    def __len__(self) -> int:
        return len(self.objects)

    @property
    def boxes_xyxy_px(self) -> NDArray[np.float64]:
        """Boxes [N, 4] in pixels of the image."""
        return np.array([label.box_xyxy_px for label in self.objects], dtype=np.float64).reshape(-1, 4)

    @property
    def class_ids(self) -> NDArray[np.int64]:
        """Class ids [N]."""
        return np.array([label.class_id for label in self.objects], dtype=np.int64)


@dataclass(frozen=True)
class SizeProblem(LabelProblem):
    """Labels that state another size than their image has: every box of them is in doubt."""


@dataclass(frozen=True)
class LabelContext:
    """Input of a label reader besides the file: the model's classes, the image's size in pixels and its file name.

    ``yolo_names`` are the names that the class ids of YOLO text stand for; None: those of the model.
    """

    classes: ClassIndex
    image_width: int
    image_height: int
    file_name: str | None = None
    shapes: ShapePolicy = "enclose"
    yolo_names: tuple[str, ...] | None = None

    def object_of_id(self, class_id: int, box: BoxXyxy, pointer: str, shape: LabelShape = "box") -> LabelObject:
        """Return an object whose file gives a class id."""
        known = self.classes.by_id(class_id)
        name = self.classes.names[known] if known >= 0 else str(class_id)
        return LabelObject(known, name, box, pointer, shape=shape)

    def object_of_name(self, name: str, box: BoxXyxy, pointer: str, shape: LabelShape = "box") -> LabelObject:
        """Return an object whose file gives a class name; it carries the model's spelling."""
        known = self.classes.by_name(name)
        return LabelObject(known, self.classes.names[known] if known >= 0 else name, box, pointer, shape=shape)

    def size_problem(self, width: float, height: float, pointer: str) -> SizeProblem | None:
        """Return a problem if a file states another size than the image's; a stated 0 counts as not stated."""
        if not (width and height) or (width, height) == (self.image_width, self.image_height):
            return None
        return SizeProblem(pointer, size_mismatch((self.image_width, self.image_height), (width, height)))


@dataclass(frozen=True)
class LabelScan:
    """Result of reading a label file to its end: the objects, and a problem for each entry that is none."""

    labels: ImageLabels
    problems: tuple[LabelProblem, ...]

    @property
    def size_problem(self) -> SizeProblem | None:
        """The problem of a file that states another size than the image's, if it does."""
        return next((problem for problem in self.problems if isinstance(problem, SizeProblem)), None)


@dataclass(frozen=True)
class LabelLimits:
    """Bounds on a label file; ``max_objects`` counts the entries of one image."""

    max_bytes: int = 32 * 2**20
    max_objects: int = 10_000


def size_mismatch(image_size: tuple[int, int], stated_size: tuple[float, float]) -> str:
    """Return the message for labels whose stated (width, height) is not that of the upright image.

    Swapped sides are those of a photo that was labeled without its EXIF orientation.
    """
    (width, height), (stated_width, stated_height) = image_size, stated_size
    hint = ""
    if (stated_width, stated_height) == (height, width):
        hint = (
            "; the sides are swapped, as where a photo was labeled without its EXIF orientation: remove the "
            "orientation from the image file, or label the image upright"
        )
    got = f"{stated_width:g}x{stated_height:g}"
    return f"expected labels of an image of {width}x{height} pixels as it is seen, got {got}{hint}"

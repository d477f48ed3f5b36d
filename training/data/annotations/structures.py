"""The labels of one image, whatever file format they came from.

Class names as people write them, resolved to a model's class ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.errors import LabelProblem

UNKNOWN_CLASS = -1

_SYNONYMS = (
    ("motorbike", "motorcycle"),
    ("aeroplane", "airplane"),
    ("sofa", "couch"),
    ("potted plant", "pottedplant"),
    ("dining table", "diningtable"),
    ("tv", "tvmonitor"),
)
"""Classes that Pascal VOC (and darknet's coco.names) and COCO spell differently."""


class ClassIndex:
    """Finds the class id of a written name.

    An exact match wins. Otherwise case, spaces, hyphens and underscores are evened out, and the six spellings in which
    VOC and COCO differ count as one; a loose match must be unique to count.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.names = tuple(class_names)
        self._exact = {name: index for index, name in reversed(tuple(enumerate(self.names)))}
        loose = [_loosen(name) for name in self.names]
        counts = Counter(loose)
        self._loose = {key: index for index, key in enumerate(loose) if counts[key] == 1}

    def by_name(self, name: str) -> int:
        """Return the class id of a name, or ``UNKNOWN_CLASS``."""
        if name in self._exact:
            return self._exact[name]
        return self._loose.get(_loosen(name), UNKNOWN_CLASS)

    def by_id(self, class_id: int) -> int:
        """Return the id itself if the model has it, else ``UNKNOWN_CLASS``."""
        return class_id if 0 <= class_id < len(self.names) else UNKNOWN_CLASS


_CANONICAL = {spelling: pair[0] for pair in _SYNONYMS for spelling in pair}


def _loosen(name: str) -> str:
    evened = " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
    return _CANONICAL.get(evened, evened)


BoxXyxy: TypeAlias = tuple[float, float, float, float]
LabelFormat: TypeAlias = Literal["yolo", "voc", "coco", "native"]


@dataclass(frozen=True)
class LabelObject:
    """One labelled object.

    ``class_id`` is ``UNKNOWN_CLASS`` where the model has no such class; ``class_name`` is then what the file says. The
    box is in pixels of the image as it is seen, and ``pointer`` is the JSON pointer of its place in the file.
    """

    class_id: int
    class_name: str
    box_xyxy_px: BoxXyxy
    pointer: str
    difficult: bool = False
    crowd: bool = False


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
class LabelContext:
    """What a reader must know besides the file: the model's classes, and the image's size in pixels and name."""

    classes: ClassIndex
    image_width: int
    image_height: int
    file_name: str | None = None

    def object_of_id(self, class_id: int, box: BoxXyxy, pointer: str) -> LabelObject:
        """Return an object whose file gives a class id."""
        known = self.classes.by_id(class_id)
        name = self.classes.names[known] if known >= 0 else str(class_id)
        return LabelObject(known, name, box, pointer)

    def object_of_name(self, name: str, box: BoxXyxy, pointer: str) -> LabelObject:
        """Return an object whose file gives a class name; it carries the model's spelling."""
        known = self.classes.by_name(name)
        return LabelObject(known, self.classes.names[known] if known >= 0 else name, box, pointer)

    def size_problem(self, width: float, height: float, pointer: str) -> LabelProblem | None:
        """Return a problem if a file states another size than the image's; a stated 0 counts as not stated."""
        if not (width and height) or (width, height) == (self.image_width, self.image_height):
            return None
        expected = f"{self.image_width}x{self.image_height}"
        return LabelProblem(
            pointer, f"expected labels of an image of {expected} pixels as it is seen, got {width:g}x{height:g}"
        )


@dataclass(frozen=True)
class LabelScan:
    """The result of reading a label file to its end: the objects, and a problem for each entry that is none."""

    labels: ImageLabels
    problems: tuple[LabelProblem, ...]


@dataclass(frozen=True)
class LabelLimits:
    """Bounds on a label file; ``max_objects`` counts the entries of one image."""

    max_bytes: int = 32 * 2**20
    max_objects: int = 10_000

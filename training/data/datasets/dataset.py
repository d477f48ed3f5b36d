"""A detection data set, whatever its layout: its classes, and for each image a path and its labels."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.classes import UNKNOWN_CLASS, ClassIndex
from yoloscope.models.errors import DatasetError
from yoloscope.models.images import read_image
from yoloscope.training.data.annotations import ImageLabels, LabelFault, LabelObject, size_mismatch

_LOGGER = logging.getLogger(__name__)

Layout: TypeAlias = Literal["coco", "voc", "yolo"]
ProblemKind: TypeAlias = (
    LabelFault
    | Literal[
        "missing_image",
        "unreadable_image",
        "image_size",
        "missing_labels",
        "unreadable_labels",
        "unreadable_label",
        "unused_labels",
        "missing_split",
    ]
)
HARMLESS: frozenset[ProblemKind] = frozenset(("missing_labels", "unused_labels", "missing_split"))
"""Problems that leave the rest of a data set as it is.

As in darknet, an image without a label file has no objects.
"""


@dataclass(frozen=True)
class DatasetProblem:
    """One bad file or label: the kind of fault, the file, the JSON pointer into it, and the fault in words.

    Opening a data set finds files and labels that cannot be read, ``audit`` also the faults of ``lint``. ``image`` and
    ``class_name`` are set for faults of one object.
    """

    kind: ProblemKind
    path: Path
    pointer: str
    detail: str
    image: Path | None = None
    class_name: str | None = None

    @property
    def location(self) -> str:
        """File and JSON pointer, as in ``labels/a.txt#/lines/3``."""
        return f"{self.path}{'#' if self.pointer else ''}{self.pointer}"

    def __str__(self) -> str:
        return f"{self.location}: {self.kind}: {self.detail}"


@dataclass(frozen=True)
class LabeledImage:
    """One image of a data set.

    ``labels`` are in pixels of the image as it is seen; ``areas_px`` are the objects' areas as the file states them
    (COCO: those of the masks), or of their boxes. ``image_id`` is COCO's, or counts from 1.
    """

    path: Path
    image_id: int
    labels: ImageLabels
    label_path: Path | None
    areas_px: tuple[float, ...]

    @property
    def width(self) -> int:
        """Pixels across, as seen."""
        return self.labels.image_width

    @property
    def height(self) -> int:
        """Pixels down, as seen."""
        return self.labels.image_height

    def read(self) -> NDArray[np.uint8]:
        """Return the image uint8 [H, W, 3]; raise ImageDecodeError, or DatasetError if its size is not as stated."""
        pixels = read_image(self.path)
        if pixels.shape[:2] != (self.height, self.width):
            seen = (pixels.shape[1], pixels.shape[0])
            raise DatasetError(f"{self.path}: {size_mismatch(seen, (self.width, self.height))}")
        return pixels


@dataclass(frozen=True)
class DetectionDataset:
    """Images and labels of one split, in a stable order, with class ids that index ``class_names``.

    ``category_ids`` [C] are the ids that a COCO file gives the classes (elsewhere 1..C). ``problems`` are what could
    not be read; an image that is missing or whose label file makes no sense is not among ``images``. ``notes`` say in
    words what was read otherwise than it is written, such as polygons as boxes.
    """

    layout: Layout
    source: Path
    split: str | None
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: tuple[LabeledImage, ...]
    problems: tuple[DatasetProblem, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def title(self) -> str:
        """Name of the data set, with its split in brackets where it is one."""
        return f"{self.source.name} ({self.split})" if self.split else self.source.name

    @cached_property
    def objects_per_class(self) -> tuple[int, ...]:
        """Number of objects of each class [C]."""
        counts = Counter(int(label.class_id) for image in self.images for label in image.labels.objects)
        return tuple(counts[index] for index in range(len(self.class_names)))

    def log_notes(self) -> None:
        """Log every note as a warning."""
        for note in self.notes:
            _LOGGER.warning("%s", note)

    def require_sound(self) -> None:
        """Raise DatasetError unless every image and every label could be read."""
        grave = [problem for problem in self.problems if problem.kind not in HARMLESS]
        if grave:
            count = f"{len(grave)} files or labels" if len(grave) > 1 else "one file or label"
            shown = "; ".join(f"{problem.location}: {problem.detail}" for problem in grave[:3])
            raise DatasetError(f"{count} of the data set {self.source} cannot be used: {shown}")

    def for_model(self, class_names: Sequence[str]) -> DetectionDataset:
        """Return the same data set with the class ids, names and order of a model.

        Classes go by name; a class of the data set that has no object need not be the model's. Raises DatasetError
        that lists every class which is missing.
        """
        index = ClassIndex(class_names)
        ids = [index.by_name(name) for name in self.class_names]
        missing = [
            name
            for name, known, count in zip(self.class_names, ids, self.objects_per_class, strict=True)
            if known == UNKNOWN_CLASS and count
        ]
        if missing:
            listed = ", ".join(missing)
            raise DatasetError(
                f"expected a model that knows the classes of {self.source}, got one without {listed}; "
                f"it knows {_shorten(class_names)}"
            )
        categories = dict(zip(ids, self.category_ids, strict=True))
        free = max(self.category_ids, default=0)
        images = tuple(replace(image, labels=_renumbered(image.labels, ids, index)) for image in self.images)
        return replace(
            self,
            class_names=index.names,
            category_ids=tuple(categories.get(i, free + 1 + i) for i in range(len(index.names))),
            images=images,
        )


def _renumbered(labels: ImageLabels, ids: Sequence[int], index: ClassIndex) -> ImageLabels:
    def moved(label: LabelObject) -> LabelObject:
        if label.class_id == UNKNOWN_CLASS:
            return label
        class_id = ids[label.class_id]
        return replace(label, class_id=class_id, class_name=index.names[class_id])

    return replace(labels, objects=tuple(moved(label) for label in labels.objects))


def _shorten(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 25 else f"{', '.join(names[:25])} and {len(names) - 25} more"

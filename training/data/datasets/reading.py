"""Read images and their label files into ``LabeledImage`` or problems; shared by all layouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import ImageDecodeError, LabelError
from yoloscope.models.images import image_size, photo_orientation
from yoloscope.training.data.annotations import (
    ImageLabels,
    LabelContext,
    LabelFormat,
    LabelScan,
    LabelShape,
    ShapePolicy,
    count_shapes,
    scan_labels,
)
from yoloscope.training.data.datasets.dataset import DatasetProblem, LabeledImage
from yoloscope.training.data.datasets.paths import exists


@dataclass(frozen=True)
class ReadOptions:
    """Options of every layout: the folder that no file may lie outside of, and what to do with other label shapes."""

    within: Path | None = None
    shapes: ShapePolicy = "enclose"


DEFAULT_OPTIONS: Final = ReadOptions()
_TURNED: Final = range(2, 9)
_SAME_SIZE: Final = range(2, 5)
"""EXIF orientations that mirror or turn by 180 degrees and so leave the size as it is."""


@dataclass
class ReadResult:
    """Images and problems collected while a data set is read."""

    images: list[LabeledImage] = field(default_factory=list)
    problems: list[DatasetProblem] = field(default_factory=list)
    turned: list[Path] = field(default_factory=list)
    """Photos with an EXIF orientation whose labels do not show by their size the frame that they were drawn in."""

    def add(self, image: LabeledImage, scan: LabelScan) -> None:
        """Take an image whose labels were read, and a problem for each entry that is no object.

        An image of another size than its labels state is left out: all its boxes are in doubt.
        """
        where = image.label_path or image.path
        if problem := scan.size_problem:
            detail = f"{image.path.name}: {problem.detail}"
            self.problems.append(DatasetProblem("image_size", where, problem.pointer, detail, image.path))
            return
        self.images.append(image)
        if photo_orientation(image.path) in (_TURNED if image.labels.label_format == "yolo" else _SAME_SIZE):
            self.turned.append(image.path)
        for entry in scan.problems:
            self.problems.append(DatasetProblem("unreadable_label", where, entry.pointer, entry.detail))

    def notes(self, source: Path) -> tuple[str, ...]:
        """Return in words, if there are any, the labels that are no plain boxes and the photos in ``turned``."""
        shapes: Counter[LabelShape] = Counter(label.shape for image in self.images for label in image.labels.objects)
        counts = count_shapes(shapes)
        enclosed = (f"{counts} in {source}: read as the boxes that enclose them",) if counts else ()
        return (*enclosed, *self._note_turned(source))

    def _note_turned(self, source: Path) -> tuple[str, ...]:
        if not self.turned:
            return ()
        count = f"{len(self.turned)} photos" if len(self.turned) > 1 else "one photo"
        said = (
            f"{count} in {source} turned by EXIF orientation, such as {self.turned[0]}: their boxes are taken as drawn"
        )
        advice = "if they were drawn on the stored pixels, remove the orientation from the files"
        return (f"{said} on the upright image; {advice}",)


def read_pairs(
    pairs: Iterable[tuple[Path, Path]],
    classes: ClassIndex,
    label_format: LabelFormat,
    *,
    without_labels: Literal["no_objects", "left_out"],
    shapes: ShapePolicy,
) -> ReadResult:
    """Read pairs of an image and its label file; ``image_id`` counts the pairs from 1."""
    result = ReadResult()
    for image_id, (path, label_path) in enumerate(pairs, 1):
        size = size_or_problem(path)
        if isinstance(size, DatasetProblem):
            result.problems.append(size)
            continue
        context = LabelContext(classes, *size, path.name, shapes)
        scan = _scan_file(label_path, context, label_format)
        if isinstance(scan, LabelScan):
            result.add(LabeledImage(path, image_id, scan.labels, label_path, label_areas(scan.labels)), scan)
            continue
        result.problems.append(scan)
        if scan.kind == "missing_labels" and without_labels == "no_objects":
            result.images.append(LabeledImage(path, image_id, ImageLabels((), *size, label_format), None, ()))
    return result


def size_or_problem(path: Path) -> tuple[int, int] | DatasetProblem:
    """Return (width, height) of an image file as it is seen, or the problem of the file."""
    if not exists(path):
        return DatasetProblem("missing_image", path, "", "expected an image, got no file")
    try:
        return image_size(path)
    except ImageDecodeError as error:
        return DatasetProblem("unreadable_image", path, "", f"expected an image, got: {error.__cause__}")


def label_areas(labels: ImageLabels) -> tuple[float, ...]:
    """Return the areas of the boxes in pixels."""
    return tuple((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (label.box_xyxy_px for label in labels.objects))


def _scan_file(path: Path, context: LabelContext, label_format: LabelFormat) -> LabelScan | DatasetProblem:
    if not path.is_file():
        return DatasetProblem("missing_labels", path, "", "expected a label file, got none")
    try:
        return scan_labels(path.read_bytes(), context, label_format=label_format)
    except LabelError as error:
        pointer = error.problems[0].pointer if error.problems else ""
        return DatasetProblem("unreadable_labels", path, pointer, str(error))

"""Steps that several layouts share: an image with its own label file, read into ``LabelledImage`` or problems."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import ImageDecodeError, LabelError
from yoloscope.training.data.annotations import ImageLabels, LabelContext, LabelFormat, LabelScan, scan_labels
from yoloscope.training.data.datasets.dataset import DatasetProblem, LabelledImage
from yoloscope.training.data.datasets.images import image_size


@dataclass
class Harvest:
    """What reading has found so far."""

    images: list[LabelledImage] = field(default_factory=list)
    problems: list[DatasetProblem] = field(default_factory=list)

    def add(self, image: LabelledImage, scan: LabelScan) -> None:
        """Take an image whose labels were read, with the entries that were none."""
        self.images.append(image)
        for problem in scan.problems:
            where = image.label_path or image.path
            self.problems.append(DatasetProblem("unreadable_label", where, problem.pointer, problem.detail))


def read_pairs(
    pairs: Iterable[tuple[Path, Path]], classes: ClassIndex, label_format: LabelFormat, *, labels_may_miss: bool
) -> Harvest:
    """Read pairs of an image and its label file; ``image_id`` counts the pairs from 1."""
    harvest = Harvest()
    for image_id, (path, label_path) in enumerate(pairs, 1):
        size = size_or_problem(path)
        if isinstance(size, DatasetProblem):
            harvest.problems.append(size)
            continue
        context = LabelContext(classes, *size, path.name)
        scan = _scan_file(label_path, context, label_format)
        if isinstance(scan, LabelScan):
            harvest.add(LabelledImage(path, image_id, scan.labels, label_path, box_areas(scan.labels)), scan)
            continue
        harvest.problems.append(scan)
        if scan.kind == "missing_labels" and labels_may_miss:
            harvest.images.append(LabelledImage(path, image_id, ImageLabels((), *size, label_format), None, ()))
    return harvest


def size_or_problem(path: Path) -> tuple[int, int] | DatasetProblem:
    """Return the size of an image file as it is seen, or what is wrong with the file."""
    if not path.is_file():
        return DatasetProblem("missing_image", path, "", "expected an image, got no file")
    try:
        return image_size(path)
    except ImageDecodeError as error:
        return DatasetProblem("unreadable_image", path, "", f"expected an image, got: {error.__cause__}")


def box_areas(labels: ImageLabels) -> tuple[float, ...]:
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

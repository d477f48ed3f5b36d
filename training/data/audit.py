"""Check of a whole data set before training or evaluation: every bad file and label, by its path and place."""

from __future__ import annotations

from collections.abc import Iterator

from yoloscope.training.data.annotations import LabelFinding, lint, size_mismatch
from yoloscope.training.data.datasets import DatasetProblem, DetectionDataset, LabeledImage
from yoloscope.training.data.datasets.reading import size_or_problem


def audit(dataset: DetectionDataset, network_size: tuple[int, int] | None = None) -> tuple[DatasetProblem, ...]:
    """Return all problems, those about files first, then image by image in the order of the data set.

    Files that could not be read; image headers of another size than the labels state; and the faults of ``lint``, its
    ``tiny`` measured on the image, or on a network input of ``network_size`` (width, height) that images are stretched
    to.
    """
    found = list(dataset.problems)
    for image in dataset.images:
        found += _size_problems(image)
    for image in dataset.images:
        found += [
            _of_finding(image, finding) for finding in lint(image.labels, network_scale=_scale(image, network_size))
        ]
    return tuple(found)


def _scale(image: LabeledImage, network_size: tuple[int, int] | None) -> tuple[float, float]:
    if network_size is None:
        return 1.0, 1.0
    return network_size[0] / image.width, network_size[1] / image.height


def _size_problems(image: LabeledImage) -> Iterator[DatasetProblem]:
    size = size_or_problem(image.path)
    if isinstance(size, DatasetProblem):
        yield size
    elif size != (image.width, image.height):
        yield DatasetProblem("image_size", image.path, "", size_mismatch(size, (image.width, image.height)))


def _of_finding(image: LabeledImage, finding: LabelFinding) -> DatasetProblem:
    problem, label = finding.problem, image.labels.objects[finding.index]
    path = image.label_path or image.path
    return DatasetProblem(finding.kind, path, problem.pointer, problem.detail, image.path, label.class_name)

"""Every bad label of a data set, named by file and place, before any training or evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from yoloscope.training.data.annotations import LabelFinding, lint
from yoloscope.training.data.datasets import DatasetProblem, DetectionDataset, LabelledImage
from yoloscope.training.data.datasets.dataset import ProblemKind
from yoloscope.training.data.datasets.reading import size_or_problem

AuditKind: TypeAlias = ProblemKind | Literal["unknown_class", "zero_area", "out_of_range", "duplicate", "under_a_pixel"]
_LABEL_KINDS: Final[dict[str, AuditKind]] = {
    "unknown_class": "unknown_class",
    "non_finite": "out_of_range",
    "degenerate": "zero_area",
    "outside": "out_of_range",
    "out_of_bounds": "out_of_range",
    "identical": "duplicate",
    "duplicate": "duplicate",
    "tiny": "under_a_pixel",
}
UNUSABLE: Final = frozenset(("unknown_class", "non_finite", "degenerate", "outside"))
"""Findings of ``lint`` under which an object can neither be learnt nor be found: no detection can match it."""


@dataclass(frozen=True)
class AuditFinding:
    """One bad label or file: what kind of fault, the file, the JSON pointer into it, and the fault in words.

    ``image`` is the image concerned, where it is known; ``class_name`` is set for findings about one object.
    """

    kind: AuditKind
    path: Path
    pointer: str
    detail: str
    image: Path | None = None
    class_name: str | None = None

    def __str__(self) -> str:
        return f"{self.path}{'#' if self.pointer else ''}{self.pointer}: {self.kind}: {self.detail}"


def audit(dataset: DetectionDataset, network_size: tuple[int, int] | None = None) -> tuple[AuditFinding, ...]:
    """Return all findings, those about files first, then image by image in the order of the data set.

    Files that could not be read; classes not known; boxes without area, out of range, labelled twice, or under a pixel:
    of the image, or of a network input of ``network_size`` (width, height) that images are stretched to. The header
    of every image is read to compare its size with what the labels state.
    """
    found = [_of_problem(problem) for problem in dataset.problems]
    found += [_of_problem(problem) for image in dataset.images for problem in _size_problems(image)]
    for image in dataset.images:
        found += [
            _of_label(image, finding) for finding in lint(image.labels, network_scale=_scale(image, network_size))
        ]
    return tuple(found)


def usable_rows(image: LabelledImage) -> list[int]:
    """Return the positions of the objects that can be learnt and found, in order."""
    bad = {finding.index for finding in lint(image.labels) if finding.kind in UNUSABLE}
    return [index for index in range(len(image.labels)) if index not in bad]


def _scale(image: LabelledImage, network_size: tuple[int, int] | None) -> tuple[float, float]:
    if network_size is None:
        return 1.0, 1.0
    return network_size[0] / image.width, network_size[1] / image.height


def _size_problems(image: LabelledImage) -> Iterator[DatasetProblem]:
    size = size_or_problem(image.path)
    if isinstance(size, DatasetProblem):
        yield size
    elif size != (image.width, image.height):
        detail = f"expected {image.width}x{image.height} pixels as the labels say, got {size[0]}x{size[1]}"
        yield DatasetProblem("image_size", image.path, "", detail)


def _of_problem(problem: DatasetProblem) -> AuditFinding:
    return AuditFinding(problem.kind, problem.path, problem.pointer, problem.detail)


def _of_label(image: LabelledImage, finding: LabelFinding) -> AuditFinding:
    problem, label = finding.problem, image.labels.objects[finding.index]
    where = image.label_path or image.path
    kind = _LABEL_KINDS[finding.kind]
    return AuditFinding(kind, where, problem.pointer, problem.detail, image.path, label.class_name)

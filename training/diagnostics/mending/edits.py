"""Edits of labels that accepted findings ask for, held against the labels of the data set as it is now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import AnyStr, Final, Literal, TypeAlias, get_args

import numpy as np

from yoloscope.models.classes import UNKNOWN_CLASS, ClassIndex, normalize_class_name
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.annotations import LabelObject
from yoloscope.training.data.annotations.lint import DUPLICATE_IOU
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.data.datasets import LabeledImage
from yoloscope.training.diagnostics.findings import Finding, Suggestion
from yoloscope.training.evaluation.matching import iou_matrix

EditKind: TypeAlias = Literal["added", "relabeled", "moved", "deleted"]
EDIT_KINDS: Final[tuple[EditKind, ...]] = get_args(EditKind)
_TOLERANCE_PX: Final = 0.01
_MOST_NAMED: Final = 10


@dataclass(frozen=True)
class NewLabel:
    """A label to be added: class id (that of the data set, or a new one behind them), name and box in pixels."""

    class_id: int
    class_name: str
    box_xyxy_px: BoxXyxy


@dataclass(frozen=True)
class Change:
    """A new class, a new box, or both, of an existing label."""

    class_id: int | None
    class_name: str | None
    box_xyxy_px: BoxXyxy | None


@dataclass
class ImageEdits:
    """All edits of one image's labels, by their positions in ``image.labels``."""

    image: LabeledImage
    deleted: set[int] = field(default_factory=set)
    changed: dict[int, Change] = field(default_factory=dict)
    added: list[NewLabel] = field(default_factory=list)

    def label(self, index: int) -> LabelObject:
        """Return the label at a position, as the data set has it."""
        return self.image.labels.objects[index]

    def moved(self) -> list[int]:
        """Return the positions of the labels that get another box."""
        return [index for index, change in self.changed.items() if change.box_xyxy_px is not None]

    def intended(self) -> list[tuple[str, BoxXyxy]]:
        """Return class name and box of every label after the edits, in the order of the file."""
        kept: list[tuple[str, BoxXyxy]] = []
        for index, label in enumerate(self.image.labels.objects):
            change = self.changed.get(index, Change(None, None, None))
            if index not in self.deleted:
                kept.append((change.class_name or label.class_name, change.box_xyxy_px or label.box_xyxy_px))
        return kept + [(label.class_name, label.box_xyxy_px) for label in self.added]


@dataclass(frozen=True)
class EditPlan:
    """The edits by image name, how many there are of each kind, and the classes that are new to the data set.

    ``clipped`` counts suggested boxes that reached over the edge of their image and end there.
    """

    by_image: dict[str, ImageEdits]
    counts: Counter[EditKind]
    new_classes: tuple[str, ...]
    clipped: int


def plan_edits(
    findings: Iterable[Finding], images: dict[str, LabeledImage], class_names: Sequence[str], *, may_add_classes: bool
) -> EditPlan:
    """Return the edits that make each label what its finding suggests; a label is edited once.

    Raises DatasetError naming every place where that cannot be: an image or label that is not there, a label of another
    class or box than was audited, two edits of one label, an object that is labeled already, a class that the data set
    does not have (unless they may be added).
    """
    planner = _Planner(images, ClassIndex(class_names))
    for finding in findings:
        planner.take(finding)
    if planner.new_classes and not may_add_classes:
        listed = ", ".join(planner.new_classes)
        planner.problems.insert(0, f"expected classes of the data set ({', '.join(class_names)}), got {listed}")
    if planner.problems:
        more = len(planner.problems) - _MOST_NAMED
        named = "; ".join(planner.problems[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
        raise DatasetError(f"the findings cannot be applied, nothing was written: {named}")
    return EditPlan(planner.by_image, planner.counts, tuple(planner.new_classes), planner.clipped)


class _Planner:
    def __init__(self, images: dict[str, LabeledImage], classes: ClassIndex) -> None:
        self._images, self._classes = images, classes
        self.by_image: dict[str, ImageEdits] = {}
        self.counts: Counter[EditKind] = Counter()
        self.new_classes: list[str] = []
        self.problems: list[str] = []
        self._absent: set[str] = set()
        self.clipped = 0

    def take(self, finding: Finding) -> None:
        image = self._images.get(finding.image)
        if image is None:
            if finding.image not in self._absent:
                self.problems.append(f"{finding.image}: expected an image of the data set, got none of that name")
                self._absent.add(finding.image)
            return
        edits = self.by_image.setdefault(finding.image, ImageEdits(image))
        if finding.label_index is None:
            problem = self._add(edits, finding)
        else:
            problem = self._edit(edits, finding, finding.label_index)
        if problem:
            index = "" if finding.label_index is None else f", label {finding.label_index}"
            self.problems.append(f"{finding.image}{index}: {problem}")

    def _edit(self, edits: ImageEdits, finding: Finding, index: int) -> str | None:
        count = len(edits.image.labels)
        if not 0 <= index < count:
            return f"expected one of {count} labels, got number {index}: the data changed since the audit"
        label = edits.label(index)
        if not self._is_same(label, finding):
            got = f"{label.class_name} {_corners(label.box_xyxy_px)}"
            return f"expected {finding.class_name} {_corners(finding.box_xyxy_px)}, got {got}: the data changed since"
        if index in edits.deleted or index in edits.changed:
            return "expected one accepted edit, got two"
        if finding.suggestion is None:
            edits.deleted.add(index)
            self.counts["deleted"] += 1
            return None
        box = self._clip(finding.suggestion.box_xyxy_px, edits.image)
        change = self._change(label, finding.suggestion, box)
        if box is None or change == Change(None, None, None):
            return f"expected another label than {_suggested(finding.suggestion)}" if box else _not_in(edits.image)
        edits.changed[index] = change
        self.counts["relabeled"] += change.class_name is not None
        self.counts["moved"] += change.box_xyxy_px is not None
        return None

    def _change(self, label: LabelObject, suggestion: Suggestion, box: BoxXyxy | None) -> Change:
        class_id, class_name = self._resolve(suggestion.class_name)
        relabeled = class_id != label.class_id and not _is_same_class(suggestion.class_name, label)
        moved = box is not None and not _is_close(box, label.box_xyxy_px)
        return Change(class_id if relabeled else None, class_name if relabeled else None, box if moved else None)

    def _add(self, edits: ImageEdits, finding: Finding) -> str | None:
        if finding.suggestion is None:
            return "expected a suggestion, got none"
        box = self._clip(finding.suggestion.box_xyxy_px, edits.image)
        if box is None:
            return _not_in(edits.image)
        class_id, class_name = self._resolve(finding.suggestion.class_name)
        if any(_overlap(box, label.box_xyxy_px) for label in edits.added if label.class_id == class_id):
            return f"expected each object once, got {_suggested(finding.suggestion)} twice"
        labels = edits.image.labels.objects
        if any(_overlap(box, label.box_xyxy_px) for label in labels if label.class_id == class_id):
            return f"expected an object without a label, got {_suggested(finding.suggestion)}, which is labeled"
        edits.added.append(NewLabel(class_id, class_name, box))
        self.counts["added"] += 1
        return None

    def _is_same(self, label: LabelObject, finding: Finding) -> bool:
        return _is_same_class(finding.class_name, label) and _is_close(label.box_xyxy_px, finding.box_xyxy_px)

    def _resolve(self, name: str) -> tuple[int, str]:
        """Return id and name of a class in the data set's own spelling; new classes get the ids behind the last."""
        known = self._classes.by_name(name)
        if known != UNKNOWN_CLASS:
            return known, self._classes.names[known]
        if name not in self.new_classes:
            self.new_classes.append(name)
        return len(self._classes.names) + self.new_classes.index(name), name

    def _clip(self, box: BoxXyxy, image: LabeledImage) -> BoxXyxy | None:
        x1, y1, x2, y2 = box
        inside = (max(x1, 0.0), max(y1, 0.0), min(x2, float(image.width)), min(y2, float(image.height)))
        self.clipped += inside != box
        return inside if inside[2] > inside[0] and inside[3] > inside[1] else None


def splice(text: AnyStr, replacements: Iterable[tuple[int, int, AnyStr]]) -> AnyStr:
    """Return a text with parts (start, end, new) replaced; parts must not overlap, those of one place keep order."""
    pieces: list[AnyStr] = []
    position = 0
    for start, end, new in sorted(replacements, key=lambda part: part[:2]):
        pieces += [text[position:start], new]
        position = end
    pieces.append(text[position:])
    return text[:0].join(pieces)


def _is_same_class(name: str, label: LabelObject) -> bool:
    """Return whether a model's name of a class means that of a label: it may know one for ``RBC`` and ``rbc``."""
    return normalize_class_name(name) == normalize_class_name(label.class_name)


def _is_close(box: BoxXyxy, other: BoxXyxy) -> bool:
    return all(abs(one - two) <= _TOLERANCE_PX for one, two in zip(box, other, strict=True))


def _overlap(box: BoxXyxy, other: BoxXyxy) -> bool:
    overlap = iou_matrix(np.array([box], np.float64), np.array([other], np.float64), np.zeros(1, np.bool_))
    return float(overlap[0, 0]) > DUPLICATE_IOU


def _corners(box: BoxXyxy) -> str:
    return f"({', '.join(f'{value:g}' for value in box)})"


def _suggested(suggestion: Suggestion) -> str:
    return f"{suggestion.class_name} {_corners(suggestion.box_xyxy_px)}"


def _not_in(image: LabeledImage) -> str:
    return f"expected a suggested box in the image of {image.width}x{image.height} pixels, got one outside"

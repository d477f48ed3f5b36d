"""Counterfactual repair: the training loss that one edit of the labels would save.

The gain is the loss of the labels as they are minus that of the labels after the edit, by the very code of training. So
assignment, collisions and the ignore rule all follow the edit. Formula presets are computed where the edit changes
anything (``EditableLoss``); others from one copy of the image's raw heads for each edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from yoloscope.models.boxes import xyxy_to_cxcywh
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses.compute import compute_loss, get_preset
from yoloscope.training.losses.edits import EditableLoss, ObjectEdits
from yoloscope.training.losses.report import LossReport

MAX_VALUES: Final = 2**21
"""Bound on the values of heads that are copied at once; 8 MiB."""


@dataclass(frozen=True)
class NetworkLabels:
    """Labels of a batch: corners float64 [N, 4] as fractions of the network input, class ids and images [N]."""

    boxes_xyxy_norm: Tensor
    class_ids: Tensor
    image: Tensor
    batch_size: int

    def of_image(self, image: int) -> NetworkLabels:
        """Return the labels of one image, as a batch of it alone."""
        own = self.image == image
        return NetworkLabels(self.boxes_xyxy_norm[own], self.class_ids[own], self.image[own] - image, 1)

    @property
    def has_center(self) -> Tensor:
        """Mask bool [N] of the labels that a loss can take: those whose center is on the network input."""
        center = (self.boxes_xyxy_norm[:, :2] + self.boxes_xyxy_norm[:, 2:]) / 2
        return ((center >= 0) & (center <= 1)).all(1)

    def to_ground_truth(self) -> GroundTruth:
        """Return the labels as a loss takes them."""
        kept = self.has_center
        boxes = xyxy_to_cxcywh(self.boxes_xyxy_norm[kept]).float()
        return GroundTruth(boxes, self.class_ids[kept], self.image[kept], self.batch_size)


@dataclass(frozen=True)
class Edits:
    """Edits of a batch's labels, one a row [E], each to be made alone.

    ``row`` int64 is the label that is replaced by the box ``boxes_xyxy_norm`` float64 [E, 4] and class ``class_ids``
    int64 of the edit, or deleted where ``deletes`` bool; where it is -1 the edit adds a label to ``image`` int64.
    """

    image: Tensor
    row: Tensor
    boxes_xyxy_norm: Tensor
    class_ids: Tensor
    deletes: Tensor

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def joined(cls, parts: Sequence[Edits]) -> Edits:
        """Return the edits of all parts in order."""
        return cls(
            torch.cat([part.image for part in parts]),
            torch.cat([part.row for part in parts]),
            torch.cat([part.boxes_xyxy_norm for part in parts]),
            torch.cat([part.class_ids for part in parts]),
            torch.cat([part.deletes for part in parts]),
        )

    def select(self, rows: slice) -> Edits:
        """Return some of the edits."""
        return Edits(
            self.image[rows], self.row[rows], self.boxes_xyxy_norm[rows], self.class_ids[rows], self.deletes[rows]
        )

    def copies(self, labels: NetworkLabels) -> Copies:
        """Return the labels of each edit's image, one copy for each edit."""
        counts = torch.bincount(labels.image, minlength=labels.batch_size)
        of_copy = counts[self.image]
        edit = torch.arange(len(self)).repeat_interleave(of_copy)
        offset = torch.arange(len(edit)) - (of_copy.cumsum(0) - of_copy)[edit]
        return Copies(edit, (counts.cumsum(0) - counts)[self.image][edit] + offset)

    def apply(self, labels: NetworkLabels, copies: Copies) -> tuple[NetworkLabels, Tensor]:
        """Return copied labels as one image for each edit, after that edit; an addition comes last.

        Also which of them, bool, the edit changed or added.
        """
        edit, label = copies.edit, copies.label
        edited = label == self.row[edit]
        boxes = torch.where(edited[:, None], self.boxes_xyxy_norm[edit], labels.boxes_xyxy_norm[label])
        class_ids = torch.where(edited, self.class_ids[edit], labels.class_ids[label])
        kept = ~(edited & self.deletes[edit])
        added = (self.row < 0).nonzero()[:, 0]
        at = torch.cat((edit[kept], added))
        order = at.argsort(stable=True)
        after = NetworkLabels(
            torch.cat((boxes[kept], self.boxes_xyxy_norm[added]))[order],
            torch.cat((class_ids[kept], self.class_ids[added]))[order],
            at[order],
            len(self),
        )
        return after, torch.cat((edited[kept], torch.ones_like(added, dtype=torch.bool)))[order]

    def keeps_box(self, labels: NetworkLabels) -> Tensor:
        """Return which edits, bool [E], leave a label's box where it is."""
        kept = (self.row >= 0) & ~self.deletes
        kept[kept.clone()] = (self.boxes_xyxy_norm[kept] == labels.boxes_xyxy_norm[self.row[kept]]).all(1)
        return kept


@dataclass(frozen=True)
class Copies:
    """Copies of labels for edits: pairs of edit and label, int64 [M] each, by ascending edit, then label."""

    edit: Tensor
    label: Tensor

    def select(self, keep: Tensor) -> Copies:
        """Return some of the pairs."""
        return Copies(self.edit[keep], self.label[keep])


@dataclass(frozen=True)
class Gains:
    """Loss that each edit saves, float64 [E], in all and by the terms of the loss; negative where the edit costs."""

    total: Tensor
    terms: Mapping[str, Tensor]

    def split(self, counts: Sequence[int]) -> list[Gains]:
        """Return the gains of consecutive groups of edits."""
        ends = list(accumulate(counts))
        groups = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
        return [Gains(self.total[own], {name: gain[own] for name, gain in self.terms.items()}) for own in groups]


class LabelLoss:
    """The loss of a batch of labels in the spec's own preset, and what edits of single labels would save.

    ``heads`` are the raw heads [B, ...] of the images. Raises PresetError where the detector has no loss.
    """

    @torch.no_grad()
    def __init__(self, heads: Sequence[Tensor], labels: NetworkLabels, spec: DetectorSpec) -> None:
        self._heads, self._labels, self._spec = heads, labels, spec
        self._preset = get_preset(None, spec)
        self._editable = EditableLoss.of(self._preset, heads, labels.to_ground_truth(), spec)

    @cached_property
    def statuses(self) -> Tensor:
        """``MatchStatus`` of every label that a loss can take, uint8."""
        if self._editable is not None:
            return self._editable.statuses
        return torch.cat([report.statuses for report in self._as_labeled])

    @torch.no_grad()
    def gains(self, edits: Edits) -> Gains:
        """Return the gain of every edit, summed over its image."""
        if self._editable is None:
            terms = self._gains_by_copies(edits)
        else:
            changes = self._editable.changes(self._object_edits(self._editable, edits))
            terms = {name: -change for name, change in changes.items()}
        total = torch.zeros(len(edits), dtype=torch.float64)
        for gain in terms.values():
            total = total + gain
        return Gains(total, terms)

    def _object_edits(self, loss: EditableLoss, edits: Edits) -> ObjectEdits:
        """Return the edits with the labels around each, before and after it."""
        labels = self._labels
        copies = edits.copies(labels)
        copies = copies.select(self._is_near(loss, edits, copies))
        after, is_new = edits.apply(labels, copies)
        is_old = copies.label == edits.row[copies.edit]
        scenes = NetworkLabels(
            torch.cat((labels.boxes_xyxy_norm[copies.label], after.boxes_xyxy_norm)),
            torch.cat((labels.class_ids[copies.label], after.class_ids)),
            torch.cat((copies.edit, after.image + len(edits))),
            2 * len(edits),
        )
        edited = torch.cat((is_old, is_new)) & ~edits.keeps_box(labels)[scenes.image % max(len(edits), 1)]
        return ObjectEdits(edits.image, scenes.to_ground_truth(), edited[scenes.has_center])

    def _is_near(self, loss: EditableLoss, edits: Edits, copies: Copies) -> Tensor:
        """Return which copied labels share a cell with the edited one, before or after the edit; it is one of them."""
        cells = loss.cells(xyxy_to_cxcywh(self._labels.boxes_xyxy_norm).float())
        new_cells = loss.cells(xyxy_to_cxcywh(edits.boxes_xyxy_norm).float())[copies.edit]
        own, row = cells[copies.label], edits.row[copies.edit]
        near_old = (row >= 0) & (own == cells[row]).any(1)
        return near_old | (own == new_cells).any(1)

    def _gains_by_copies(self, edits: Edits) -> dict[str, Tensor]:
        """Return the gains by the loss of a copy of its image for each edit."""
        before = _image_terms(self._as_labeled)
        parts = []
        for rows in _parts(len(edits), self._heads, alone=not self._preset.sums_over_images):
            some = edits.select(rows)
            after, _ = some.apply(self._labels, some.copies(self._labels))
            parts.append(_image_terms([self._loss([head[some.image] for head in self._heads], after)]))
        return {
            name: cost[edits.image] - torch.cat([part[name] for part in parts]) if parts else cost[:0]
            for name, cost in before.items()
        }

    @cached_property
    def _as_labeled(self) -> list[LossReport]:
        """The loss of the labels as they are: of the batch, or of each image where a batch is more than its images."""
        if self._preset.sums_over_images:
            return [self._loss(self._heads, self._labels)]
        return [
            self._loss([head[image : image + 1] for head in self._heads], self._labels.of_image(image))
            for image in range(self._labels.batch_size)
        ]

    def _loss(self, heads: Sequence[Tensor], labels: NetworkLabels) -> LossReport:
        """Return the loss of a batch as the sum over its images; labels off the image are left out."""
        return compute_loss(heads, labels.to_ground_truth(), self._spec, self._preset, "objects", divisor=1.0)


def _image_terms(reports: Sequence[LossReport]) -> dict[str, Tensor]:
    terms = [report.by_image.terms for report in reports]
    return {name: torch.cat([own[name] for own in terms]).double() for name in terms[0]}


def _parts(count: int, heads: Sequence[Tensor], *, alone: bool) -> Iterator[slice]:
    most = 1 if alone else max(1, MAX_VALUES // sum(head[0].numel() for head in heads))
    for start in range(0, count, most):
        yield slice(start, start + most)

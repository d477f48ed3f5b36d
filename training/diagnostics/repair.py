"""Counterfactual repair: the training loss that one edit of the labels would save.

Each edit makes one copy of its image's raw heads with the labels as they would be after it; the gain is the loss of the
labels as they are minus that of the copy, by the very code of training. So assignment, collisions and the ignore rule
all follow the edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from yoloscope.models.boxes import xyxy_to_cxcywh
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses.compute import compute_loss
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

    def apply(self, labels: NetworkLabels) -> NetworkLabels:
        """Return the labels of one copy of the image per edit, each after its edit; an addition comes last."""
        counts = torch.bincount(labels.image, minlength=labels.batch_size)
        first = counts.cumsum(0) - counts
        copies = counts[self.image]
        copy = torch.arange(len(self)).repeat_interleave(copies)
        offset = torch.arange(len(copy)) - (copies.cumsum(0) - copies)[copy]
        label = first[self.image][copy] + offset
        edited = label == self.row[copy]
        boxes = torch.where(edited[:, None], self.boxes_xyxy_norm[copy], labels.boxes_xyxy_norm[label])
        class_ids = torch.where(edited, self.class_ids[copy], labels.class_ids[label])
        kept = ~(edited & self.deletes[copy])
        added = (self.row < 0).nonzero()[:, 0]
        at = torch.cat((copy[kept], added))
        order = at.argsort(stable=True)
        return NetworkLabels(
            torch.cat((boxes[kept], self.boxes_xyxy_norm[added]))[order],
            torch.cat((class_ids[kept], self.class_ids[added]))[order],
            at[order],
            len(self),
        )


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


@torch.no_grad()
def repair_gains(
    heads: Sequence[Tensor],
    labels: NetworkLabels,
    edits: Edits,
    spec: DetectorSpec,
    as_labeled: LossReport | None = None,
) -> Gains:
    """Return the gain of every edit in the loss of the spec's own preset, summed over its image.

    ``heads`` are the raw heads [B, ...] of the images, ``as_labeled`` is their ``batch_loss`` where it is known. Raises
    PresetError where the detector has no loss.
    """
    before = _image_terms(as_labeled or batch_loss(heads, spec, labels))
    parts = []
    for rows in _parts(len(edits), heads):
        some = edits.select(rows)
        parts.append(_image_terms(batch_loss([head[some.image] for head in heads], spec, some.apply(labels))))
    terms = {
        name: cost[edits.image] - torch.cat([part[name] for part in parts]) if parts else cost[:0]
        for name, cost in before.items()
    }
    total = torch.zeros(len(edits), dtype=torch.float64)
    for gain in terms.values():
        total = total + gain
    return Gains(total, terms)


def batch_loss(heads: Sequence[Tensor], spec: DetectorSpec, labels: NetworkLabels) -> LossReport:
    """Return the loss of a batch as the sum over its images; labels off the image are left out."""
    return compute_loss(heads, labels.to_ground_truth(), spec, preset=None, detail="objects", divisor=1.0)


def _image_terms(report: LossReport) -> dict[str, Tensor]:
    return {name: cost.double() for name, cost in report.by_image.terms.items()}


def _parts(count: int, heads: Sequence[Tensor]) -> Iterator[slice]:
    most = max(1, MAX_VALUES // sum(head[0].numel() for head in heads))
    for start in range(0, count, most):
        yield slice(start, start + most)

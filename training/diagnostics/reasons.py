"""Suspicions of label errors, and in words what the detections say of them and what their repair is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from yoloscope.models.boxes import paired_iou
from yoloscope.training.diagnostics.evidence import MATCH_IOU, LabelBatch
from yoloscope.training.diagnostics.findings import FindingKind
from yoloscope.training.diagnostics.repair import Gains
from yoloscope.training.diagnostics.views import MergedDetections

_LEAST_OTHER: Final = 0.05
_MOST_OTHERS: Final = 2


@dataclass(frozen=True)
class Suspicions:
    """Findings of one kind before their gain is known, one a row.

    ``image`` and ``slot`` are the label's place in the batch (-1 where a label is missing), ``column`` that of the
    detection it goes by (-1 for none).
    """

    kind: FindingKind
    image: Tensor
    slot: Tensor
    column: Tensor
    probability: Tensor

    def at_least(self, floor: float) -> Suspicions:
        """Return those of at least a probability that have a detection to go by, if their kind needs one."""
        rows = self.probability >= floor
        if self.kind != "spurious":
            rows &= self.column >= 0
        return Suspicions(self.kind, self.image[rows], self.slot[rows], self.column[rows], self.probability[rows])


def describe_evidence(
    suspicions: Suspicions, batch: LabelBatch, merged: MergedDetections, names: Sequence[str]
) -> list[str]:
    """Return in words what the detections of a batch say of each suspicion."""
    kind, image, slot, column = suspicions.kind, suspicions.image, suspicions.slot, suspicions.column
    labels, detected = batch.boxes_xyxy_frac, merged.boxes_xyxy_frac
    if kind == "spurious":
        best = _largest(paired_iou(labels[image, slot][:, None], detected[image]) * merged.scores[image])
        labeled = batch.class_ids[image, slot].tolist()
        return [
            f"no {names[class_id]} is detected there: the best detection of any class, its score times its overlap "
            f"with the label, has {value:.2f}"
            for class_id, value in zip(labeled, best, strict=True)
        ]
    boxes, scores = detected[image, column], merged.scores[image, column].tolist()
    found = [names[class_id] for class_id in merged.class_ids[image, column].tolist()]
    if kind == "missing":
        overlap = _largest(paired_iou(boxes[:, None], labels[image]) * batch.judged[image])
        others = _other_classes(merged, image, column, names)
        return [
            f"{name} detected (score {score:.2f}{other}), and no label overlaps it by more than {value:.2f}"
            for name, score, other, value in zip(found, scores, others, overlap, strict=True)
        ]
    overlap = paired_iou(labels[image, slot], boxes).tolist()
    labeled = batch.class_ids[image, slot].tolist()
    if kind == "class":
        return [
            f"labeled {names[class_id]}, detected as {name} (score {score:.2f}, overlap {value:.2f})"
            for class_id, name, score, value in zip(labeled, found, scores, overlap, strict=True)
        ]
    return [
        f"{name} detected (score {score:.2f}) with an overlap of {value:.2f} only"
        for name, score, value in zip(found, scores, overlap, strict=True)
    ]


def _other_classes(merged: MergedDetections, image: Tensor, column: Tensor, names: Sequence[str]) -> list[str]:
    """Return in words the other classes that each detection's object is detected as, the best two."""
    boxes, class_ids, scores = merged.boxes_xyxy_frac[image], merged.class_ids[image], merged.scores[image]
    rows = torch.arange(len(image))
    same_object = paired_iou(boxes[rows, column][:, None], boxes) >= MATCH_IOU
    other = same_object & (class_ids != class_ids[rows, column][:, None]) & (scores >= _LEAST_OTHER)
    told: list[list[str]] = [[] for _ in rows]
    for row, place in other.nonzero().tolist():  # score descending in each row
        told[row].append(f"{names[int(class_ids[row, place])]} {float(scores[row, place]):.2f}")
    return [f"; or {', '.join(classes[:_MOST_OTHERS])}" if classes else "" for classes in told]


_TERMS: Final[Mapping[str, str]] = {
    "xy": "for its center",
    "wh": "for its size",
    "box": "for its box",
    "objectness": "for seeing an object there",
    "no_objectness": "for seeing no background there",
    "classification": "for its class",
    "prior": "for the prior",
}
_EDITS: Final[Mapping[FindingKind, str]] = {
    "missing": "adding the label",
    "class": "relabeling it",
    "location": "moving it there",
    "spurious": "deleting it",
}


def describe_gains(kind: FindingKind, gains: Gains) -> list[str]:
    """Return in words what each edit saves, and the term of the loss that most of it comes from."""
    names = list(gains.terms)
    if not len(gains.total):
        return []
    largest = torch.stack(list(gains.terms.values())).abs().argmax(0).tolist()
    return [
        f"{_EDITS[kind]} {'saves' if gain >= 0 else 'costs'} {abs(gain):.2f} of the loss, most of it "
        f"{_TERMS[names[term]]}"
        for gain, term in zip(gains.total.tolist(), largest, strict=True)
    ]


def _largest(values: Tensor) -> list[float]:
    """Return the largest value of each row [n, K], 0 where there is none."""
    return values.amax(1).tolist() if values.shape[1] else [0.0] * len(values)

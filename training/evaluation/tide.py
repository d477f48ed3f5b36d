"""TIDE: errors of a detector by kind, and the AP that each kind costs.

At IoU .5 every wrong detection is of one kind, by the first of these that holds, with the IoU of its best object of the
same class (same) and of another class (other):

* ``localisation``: .1 <= same <= .5;
* ``classification``: other >= .5;
* ``duplicate``: same >= .5, the object being taken by a better detection;
* ``background``: both <= .1;
* ``both``: what remains, an object of another class hit badly.

``missed`` are objects that no detection takes and no localisation or classification error points at. The cost of a kind
is the gain in AP50 if an oracle repaired it alone: localisation and classification errors become right where their
object is free, the best one for each object (the others are removed); duplicates, background and both are removed;
missed objects are not asked for. The gains are not independent and do not add up to 1 - AP.

Source: Bolya et al., TIDE: A General Toolbox for Identifying Object Detection Errors, 2020, sections 2.2 and 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yoloscope.training.evaluation.average_precision import interpolated_ap, precision_recall
from yoloscope.training.evaluation.confusion import match_by_class
from yoloscope.training.evaluation.matching import NO_MATCH, iou_matrix
from yoloscope.training.evaluation.predict import EvaluatedImage

TideKind: TypeAlias = Literal["classification", "localisation", "both", "duplicate", "background", "missed"]
KINDS: Final[tuple[TideKind, ...]] = (
    "classification",
    "localisation",
    "both",
    "duplicate",
    "background",
    "missed",
)
FOREGROUND_IOU: Final = 0.5
BACKGROUND_IOU: Final = 0.1
_RIGHT: Final = -1


@dataclass(frozen=True)
class TideResult:
    """AP50 as it is (101 points), and per kind of error how many there are and how much AP50 their repair gains."""

    ap50: float
    counts: dict[TideKind, int]
    gains: dict[TideKind, float]


@dataclass(frozen=True)
class _Table:
    """All detections: class, score, kind (``_RIGHT`` or a position in ``KINDS``), object meant; and objects per class.

    ``target`` indexes ``truth_ids``, the class of every object; ``NO_MATCH`` where no object is meant.
    """

    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    kinds: NDArray[np.int64]
    target: NDArray[np.int64]
    truth_ids: NDArray[np.int64]
    is_free: NDArray[np.bool_]

    def select(self, rows: NDArray[np.bool_]) -> _Table:
        return replace(
            self,
            class_ids=self.class_ids[rows],
            scores=self.scores[rows],
            kinds=self.kinds[rows],
            target=self.target[rows],
        )


def evaluate_tide(images: Sequence[EvaluatedImage], num_classes: int) -> TideResult:
    """Return the errors of all detections; crowds and detections inside them take no part. NaN AP without objects."""
    table = _join([_classify(image) for image in images])
    repairable = np.isin(table.kinds, [KINDS.index("classification"), KINDS.index("localisation")])
    is_missed = table.is_free.copy()
    is_missed[table.target[repairable]] = False
    base = _mean_ap(table, table.truth_ids, num_classes)
    counts: dict[TideKind, int] = {kind: int((table.kinds == KINDS.index(kind)).sum()) for kind in KINDS}
    counts["missed"] = int(is_missed.sum())
    gains: dict[TideKind, float] = {
        kind: _mean_ap(_repair(table, kind), table.truth_ids, num_classes) - base for kind in KINDS
    }
    gains["missed"] = _mean_ap(table, table.truth_ids[~is_missed], num_classes) - base
    return TideResult(base, counts, gains)


def _classify(image: EvaluatedImage) -> _Table:
    truth, found = image.truth, image.detections
    iou = iou_matrix(found.boxes_xyxy.astype(np.float64), truth.boxes_xyxy_px, truth.crowd)
    taken = match_by_class(iou, found.class_ids, truth.class_ids, truth.crowd, FOREGROUND_IOU)
    in_crowd = (taken != NO_MATCH) & np.append(truth.crowd, [False])[taken]
    real = np.flatnonzero(~truth.crowd)
    renumbered = np.full(len(truth) + 1, NO_MATCH, np.int64)
    renumbered[real] = np.arange(len(real))
    taken, iou, truth_ids = renumbered[taken][~in_crowd], iou[~in_crowd][:, real], truth.class_ids[real]
    class_ids, scores = found.class_ids[~in_crowd], found.scores[~in_crowd]
    is_same = class_ids[:, None] == truth_ids[None]
    kinds, target = _name_errors(np.where(is_same, iou, 0.0), np.where(is_same, 0.0, iou))
    right = taken != NO_MATCH
    kinds[right], target[right] = _RIGHT, taken[right]
    is_free = ~np.isin(np.arange(len(real)), taken)
    return _Table(class_ids, scores, kinds, target, truth_ids, is_free)


def _name_errors(same: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the kind of each detection [N] were it wrong, and the object that it means."""
    if not same.shape[1]:
        nothing = np.full(len(same), NO_MATCH, np.int64)
        return np.full(len(same), KINDS.index("background"), np.int64), nothing
    best_same, best_other = same.max(axis=1), other.max(axis=1)
    is_badly_placed = (best_same >= BACKGROUND_IOU) & (best_same <= FOREGROUND_IOU)
    kinds = np.select(
        [
            is_badly_placed,
            best_other >= FOREGROUND_IOU,
            best_same >= FOREGROUND_IOU,
            np.maximum(best_same, best_other) <= BACKGROUND_IOU,
        ],
        [KINDS.index(kind) for kind in ("localisation", "classification", "duplicate", "background")],
        default=KINDS.index("both"),
    )
    target = np.where(kinds == KINDS.index("classification"), other.argmax(axis=1), same.argmax(axis=1))
    return kinds.astype(np.int64), target.astype(np.int64)


def _repair(table: _Table, kind: TideKind) -> _Table:
    """Return the detections with the errors of one kind made right where their object is free, else removed."""
    is_kind = table.kinds == KINDS.index(kind)
    repaired = np.zeros_like(is_kind)
    if kind in ("classification", "localisation"):
        rows = np.flatnonzero(is_kind)
        rows = rows[np.append(table.is_free, [False])[table.target[rows]]]
        rows = rows[np.argsort(-table.scores[rows], kind="stable")]
        repaired[rows[np.unique(table.target[rows], return_index=True)[1]]] = True
    class_ids = table.class_ids.copy()
    class_ids[repaired] = table.truth_ids[table.target[repaired]]
    kinds = np.where(repaired, _RIGHT, table.kinds)
    return replace(table, class_ids=class_ids, kinds=kinds).select(~is_kind | repaired)


def _mean_ap(table: _Table, truth_ids: NDArray[np.int64], num_classes: int) -> float:
    """Return the mean over the classes with objects of 101-point AP; NaN without any."""
    num_truth = np.bincount(truth_ids, minlength=num_classes)
    values = []
    for class_id in np.flatnonzero(num_truth):
        mine = table.class_ids == class_id
        recall, precision = precision_recall(table.scores[mine], table.kinds[mine] == _RIGHT, int(num_truth[class_id]))
        values.append(interpolated_ap(recall, precision, 101))
    return float(np.mean(values)) if values else float("nan")


def _join(tables: Sequence[_Table]) -> _Table:
    starts = np.cumsum([0, *(len(table.truth_ids) for table in tables)])
    shifted = [
        np.where(table.target == NO_MATCH, NO_MATCH, table.target + start)
        for table, start in zip(tables, starts, strict=False)
    ]
    return _Table(
        np.concatenate([table.class_ids for table in tables]),
        np.concatenate([table.scores for table in tables]),
        np.concatenate([table.kinds for table in tables]),
        np.concatenate(shifted),
        np.concatenate([table.truth_ids for table in tables]),
        np.concatenate([table.is_free for table in tables]),
    )

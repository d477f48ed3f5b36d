"""The confusion matrix of a detector at one score threshold.

Two passes: first each class by itself as COCO matches, so that the diagonal holds exactly COCO's true positives; then
what is left over, classes set aside, by descending score, which names the confusions. What remains is background.
(One pass without classes, as is common elsewhere, lets a confident wrong class take an object from the right one, and
its diagonal agrees with no published metric.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yoloscope.training.evaluation.matching import NO_MATCH, iou_matrix, match_greedily
from yoloscope.training.evaluation.predict import EvaluatedImage


@dataclass(frozen=True)
class Confusion:
    """Counts [C+1, C+1] by true class (row) and predicted class (column); the last of each is background.

    The last column holds missed objects, the last row detections of nothing. Crowds and detections inside them are
    not counted.
    """

    matrix: NDArray[np.int64]
    score_threshold: float
    iou_threshold: float

    @property
    def precision(self) -> NDArray[np.float64]:
        """The share of each class's detections that are right [C]; NaN without detections."""
        return _ratio(self._hits, self.matrix[:, :-1].sum(axis=0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """The share of each class's objects that are found [C]; NaN without objects."""
        return _ratio(self._hits, self.matrix[:-1].sum(axis=1))

    @property
    def _hits(self) -> NDArray[np.int64]:
        return np.diagonal(self.matrix)[:-1]


def confusion_matrix(
    images: Sequence[EvaluatedImage], num_classes: int, score_threshold: float = 0.25, iou_threshold: float = 0.5
) -> Confusion:
    """Return the confusion matrix of the detections of at least ``score_threshold``."""
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    for image in images:
        _count(image, matrix, score_threshold, iou_threshold)
    return Confusion(matrix, score_threshold, iou_threshold)


def _count(image: EvaluatedImage, matrix: NDArray[np.int64], score_threshold: float, iou_threshold: float) -> None:
    """Add one image to the counts, in place."""
    truth, found = image.truth, image.detections.select(image.detections.scores >= score_threshold)
    background = len(matrix) - 1
    iou = iou_matrix(found.boxes_xyxy.astype(np.float64), truth.boxes_xyxy_px, truth.crowd)
    taken = match_by_class(iou, found.class_ids, truth.class_ids, truth.crowd, iou_threshold)
    rows = np.flatnonzero(taken == NO_MATCH)
    columns = np.setdiff1d(np.flatnonzero(~truth.crowd), taken)
    second = match_greedily(iou[np.ix_(rows, columns)], np.zeros(len(columns), np.bool_), iou_threshold)
    taken[rows[second != NO_MATCH]] = columns[second[second != NO_MATCH]]
    for row, column in enumerate(taken):
        if column == NO_MATCH:
            matrix[background, found.class_ids[row]] += 1
        elif not truth.crowd[column]:
            matrix[truth.class_ids[column], found.class_ids[row]] += 1
    for column in np.setdiff1d(np.flatnonzero(~truth.crowd), taken):
        matrix[truth.class_ids[column], background] += 1


def match_by_class(
    iou: NDArray[np.float64],
    found_ids: NDArray[np.int64],
    truth_ids: NDArray[np.int64],
    crowd: NDArray[np.bool_],
    threshold: float,
) -> NDArray[np.int64]:
    """Return for each detection [N] the truth of its class that it takes by COCO's rule, or ``NO_MATCH``."""
    taken = np.full(len(iou), NO_MATCH, np.int64)
    for class_id in np.unique(found_ids):
        rows, columns = np.flatnonzero(found_ids == class_id), np.flatnonzero(truth_ids == class_id)
        matched = match_greedily(iou[np.ix_(rows, columns)], crowd[columns], threshold)
        hit = matched != NO_MATCH
        taken[rows[hit]] = columns[matched[hit]]
    return taken


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.full(len(part), np.nan)
    return np.divide(part, whole, out=ratio, where=whole > 0)

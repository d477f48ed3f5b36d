"""Pascal VOC's AP as darknet computes it ("darknet-compatible").

A detection is compared with one object only, that of highest IoU of its class; it is right if that IoU is strictly
above the threshold and the object is not taken yet. Detections of ``difficult`` objects and inside crowds do not count.
The VOC devkit differs in adding a pixel to widths and heights. Source: darknet src/detector.c, validate_detector_map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from yoloscope.training.evaluation.average_precision import all_point_ap, interpolated_ap, precision_recall
from yoloscope.training.evaluation.matching import iou_matrix
from yoloscope.training.evaluation.predict import EvaluatedImage


@dataclass(frozen=True)
class VocResult:
    """AP per class [C] by 11 points (VOC 2007) and by all points (since 2010); NaN for a class without objects."""

    ap_11_point: NDArray[np.float64]
    ap_all_point: NDArray[np.float64]

    @property
    def mean_11_point(self) -> float | None:
        """Mean over the classes with objects, None without any."""
        return _mean(self.ap_11_point)

    @property
    def mean_all_point(self) -> float | None:
        """Mean over the classes with objects, None without any."""
        return _mean(self.ap_all_point)


@dataclass
class _Tally:
    """Running counts of one class: objects that count, and per image the scores and verdicts."""

    num_truth: int = 0
    scores: list[NDArray[np.float32]] = field(default_factory=list)
    correct: list[NDArray[np.bool_]] = field(default_factory=list)

    def ap(self) -> tuple[float, float]:
        """Return 11-point and all-point AP; NaN without objects."""
        if not self.num_truth:
            return np.nan, np.nan
        recall, precision = precision_recall(np.concatenate(self.scores), np.concatenate(self.correct), self.num_truth)
        return interpolated_ap(recall, precision, 11), all_point_ap(recall, precision)


def evaluate_voc(images: Sequence[EvaluatedImage], num_classes: int, iou_threshold: float = 0.5) -> VocResult:
    """Return VOC's AP of every class."""
    tallies = [_Tally() for _ in range(num_classes)]
    for image in images:
        _add(image, tallies, iou_threshold)
    values = np.array([tally.ap() for tally in tallies]).reshape(-1, 2)
    return VocResult(values[:, 0], values[:, 1])


def _add(image: EvaluatedImage, tallies: Sequence[_Tally], iou_threshold: float) -> None:
    """Enter one image into the tallies."""
    truth, found = image.truth, image.detections
    iou = iou_matrix(found.boxes_xyxy.astype(np.float64), truth.boxes_xyxy_px, truth.crowd)
    for class_id in np.unique(np.concatenate((truth.class_ids, found.class_ids))):
        rows, columns = np.flatnonzero(found.class_ids == class_id), np.flatnonzero(truth.class_ids == class_id)
        uncounted = (truth.difficult | truth.crowd)[columns]
        right, counts = _judge(iou[np.ix_(rows, columns)], uncounted, iou_threshold)
        tally = tallies[class_id]
        tally.num_truth += int((~uncounted).sum())
        tally.scores.append(found.scores[rows][counts])
        tally.correct.append(right[counts])


def _judge(
    iou: NDArray[np.float64], uncounted: NDArray[np.bool_], threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which detections [N], score descending, are right, and which count at all."""
    right, counts = np.zeros(len(iou), np.bool_), np.ones(len(iou), np.bool_)
    if not iou.shape[1]:
        return right, counts
    taken = np.zeros(iou.shape[1], np.bool_)
    best = iou.argmax(axis=1)
    for row, column in enumerate(best):
        if iou[row, column] <= threshold:
            continue
        counts[row] = not uncounted[column]
        right[row] = not (uncounted[column] or taken[column])
        taken[column] = True
    return right, counts


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None

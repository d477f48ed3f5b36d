"""Pascal VOC's AP as darknet computes it ("darknet-compatible").

A detection is compared with one object only, that of highest IoU of its class; it is right if that IoU is strictly
above the threshold and the object is not taken yet. Detections of ``difficult`` objects and inside crowds do not count.
The VOC devkit differs in adding a pixel to widths and heights. Source: darknet src/detector.c, validate_detector_map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.average_precision import all_point_ap, interpolated_ap, precision_recall
from training.evaluation.overlap import iou_matrix
from training.evaluation.structures import EvaluatedImage


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


def evaluate_voc(images: Sequence[EvaluatedImage], num_classes: int, iou_threshold: float = 0.5) -> VocResult:
    """Return VOC's AP of every class."""
    values = np.array([_class_ap(images, class_id, iou_threshold) for class_id in range(num_classes)])
    values = values.reshape(-1, 2)
    return VocResult(values[:, 0], values[:, 1])


def _class_ap(images: Sequence[EvaluatedImage], class_id: int, iou_threshold: float) -> tuple[float, float]:
    num_truth = 0
    scores: list[NDArray[np.float32]] = []
    correct: list[NDArray[np.bool_]] = []
    for image in images:
        rows = image.truth.class_ids == class_id
        mine = image.detections.class_ids == class_id
        uncounted = (image.truth.difficult | image.truth.crowd)[rows]
        num_truth += int((~uncounted).sum())
        boxes = image.detections.boxes_xyxy[mine].astype(np.float64)
        iou = iou_matrix(boxes, image.truth.boxes_xyxy_px[rows], image.truth.crowd[rows])
        right, counts = _judge(iou, uncounted, iou_threshold)
        scores.append(image.detections.scores[mine][counts])
        correct.append(right[counts])
    if not num_truth:
        return np.nan, np.nan
    recall, precision = precision_recall(np.concatenate(scores), np.concatenate(correct), num_truth)
    return interpolated_ap(recall, precision, 11), all_point_ap(recall, precision)


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

"""IoU of detections with ground truth, and COCO's greedy matching."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NO_MATCH = -1


def iou_matrix(
    detections_xyxy: NDArray[np.float64], truth_xyxy: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return IoU [N, M] of every detection [N, 4] with every truth [M, 4]; of a crowd, the detection's share inside it.

    Source: cocoapi common/maskApi.c, bbIou.
    """
    a, b = detections_xyxy[:, None], truth_xyxy[None]
    extent = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.prod(extent.clip(0), axis=-1)
    area_a, area_b = _area(a), _area(b)
    union = np.where(crowd, area_a, area_a + area_b - intersection)
    iou: NDArray[np.float64] = np.zeros_like(intersection)
    np.divide(intersection, union, out=iou, where=union > 0)
    return iou


def match_greedily(iou: NDArray[np.float64], crowd: NDArray[np.bool_], threshold: float) -> NDArray[np.int64]:
    """Return for each detection the truth that it takes [N], or ``NO_MATCH``.

    ``iou`` [N, M] is of one class and one image, its rows score descending. Each detection takes the free truth of
    highest IoU if that is at least ``threshold``, of equal ones the last; where there is none, a crowd, which may be
    taken by many. Source: cocoapi PythonAPI/pycocotools/cocoeval.py, evaluateImg.
    """
    least = min(threshold, 1 - 1e-10)
    taken = np.full(len(iou), NO_MATCH, np.int64)
    if not iou.shape[1]:
        return taken
    free = ~crowd
    choices = (free, crowd) if crowd.any() else (free,)
    for row, overlaps in enumerate(iou):
        for choice in choices:
            best = _last_best(np.where(choice, overlaps, -1.0))
            if choice[best] and overlaps[best] >= least:
                taken[row] = best
                free[best] = False
                break
    return taken


def _last_best(values: NDArray[np.float64]) -> int:
    return len(values) - 1 - int(values[::-1].argmax())


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))

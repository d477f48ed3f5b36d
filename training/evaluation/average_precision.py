"""Precision-recall curve and average precision (11-point, 101-point, all-point) of one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def precision_recall(
    scores: NDArray[np.floating], correct: NDArray[np.bool_], num_truth: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return recall and precision [N] after each detection, by descending score (equal ones in their order)."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(correct[order])
    return hits / max(num_truth, 1), hits / np.arange(1, len(hits) + 1)


def interpolated_ap(recall: NDArray[np.float64], precision: NDArray[np.float64], points: int) -> float:
    """Return the mean, over ``points`` evenly spaced recalls, of the best precision at that recall or beyond.

    11 points are VOC 2007's, 101 COCO's. Source: Everingham et al., The Pascal VOC Challenge, 2010, equation 1.
    """
    envelope = np.append(_envelope(precision), 0.0)
    return float(envelope[np.searchsorted(recall, np.linspace(0, 1, points), side="left")].mean())


def all_point_ap(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Return the area under the best precision at each recall or beyond (VOC since 2010)."""
    return float((np.diff(recall, prepend=0.0) * _envelope(precision)).sum())


def _envelope(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum.accumulate(precision[::-1])[::-1])

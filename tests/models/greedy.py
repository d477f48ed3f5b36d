"""Sequential greedy suppression in numpy, as darknet does it: the yardstick of the fixed point."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def similarity(boxes: Floats, beta: float | None) -> Floats:
    """DIoU similarity (or IoU where beta is None) of all pairs [n, n]."""
    with np.errstate(all="ignore"):
        extent = np.maximum(boxes[:, 2:] - boxes[:, :2], np.float32(0))
        area = extent[:, 0] * extent[:, 1]
        low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
        high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        overlap = np.maximum(high - low, np.float32(0))
        intersection = overlap[..., 0] * overlap[..., 1]
        union = area[:, None] + area[None] - intersection
        iou = np.where(union > 0, intersection / union, np.float32(0))
        if beta is None:
            return iou
        twice_center = boxes[:, :2] + boxes[:, 2:]
        offset = (twice_center[:, None] - twice_center[None]) ** 2
        hull = np.maximum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.minimum(boxes[:, None, :2], boxes[None, :, :2])
        diagonal = 4 * (hull[..., 0] ** 2 + hull[..., 1] ** 2)
        ratio = np.where(diagonal > 0, (offset[..., 0] + offset[..., 1]) / diagonal, np.float32(0))
        return np.asarray(iou - ratio ** np.float32(beta), np.float32)


def greedy_nms(boxes: Floats, scores: Floats, groups: Ints, threshold: Floats, beta: float | None) -> Ints:
    """Indices kept by the sequential algorithm, score descending, equal scores by lower index."""
    finite = np.isfinite(boxes).all(1, keepdims=True)
    similar = similarity(np.where(finite, boxes, np.float32(0)), beta) > threshold[:, None]
    similar &= groups[:, None] == groups[None]
    suppressed = np.isnan(scores)
    kept = []
    for candidate in np.argsort(-scores, kind="stable"):
        if not suppressed[candidate]:
            kept.append(candidate)
            suppressed |= similar[candidate]
    return np.array(kept, np.int64)

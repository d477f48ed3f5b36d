"""Scores of other tools for label errors, from their published formulas: FiftyOne's mistakenness, cleanlab's ObjectLab.

Formulas: FiftyOne, brain.compute_mistakenness of detections (class-agnostic matching at IoU .5; gate .95). ObjectLab:
Tkachenko, Thyagarajan, Mueller, ObjectLab: Automated Diagnosis of Mislabeled Images in Object Detection Data, 2023,
with the constants of cleanlab 2.9. Neither package is used. Scores here are high where a label is suspicious.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Boxes:
    """Boxes of one image in pixels [n, 4], their classes [n] and scores [n] (1 for labels)."""

    xyxy: Floats
    classes: Ints
    scores: Floats

    def above(self, threshold: float) -> Boxes:
        """Return those of a higher score."""
        kept = self.scores > threshold
        return Boxes(self.xyxy[kept], self.classes[kept], self.scores[kept])


def iou(a: Floats, b: Floats) -> Floats:
    """Return pairwise IoU [n, m]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.where(union > 0, shared / np.maximum(union, 1e-12), 0.0)


def unmatched_confidence(labels: Boxes, found: Boxes) -> Floats:
    """Return the score [m] of each detection that overlaps no label by half, -1 for the others."""
    overlap = iou(found.xyxy, labels.xyxy)
    free = ~(overlap >= 0.5).any(1) if len(labels.xyxy) else np.ones(len(found.xyxy), bool)
    return np.where(free, found.scores, -1.0)


@dataclass(frozen=True)
class Mistakenness:
    """FiftyOne's: of labels the mistakenness of class and place [n] and whether possibly spurious; of detections the
    score [m] of possibly missing ones, -1 elsewhere."""

    classes: Floats
    location: Floats
    spurious: Floats
    missing: Floats


def mistakenness(labels: Boxes, found: Boxes, gate: float = 0.95) -> Mistakenness:
    """Match detections to labels whatever their class, best score first, and rate what was matched."""
    overlap = iou(found.xyxy, labels.xyxy)
    count = len(labels.xyxy)
    classes, location, matched = np.zeros(count), np.zeros(count), np.zeros(count, bool)
    missing = np.full(len(found.xyxy), -1.0)
    for row in np.argsort(-found.scores, kind="stable"):
        free = np.where(matched, 0.0, overlap[row]) if count else np.zeros(0)
        best = int(free.argmax()) if count else -1
        if count and free[best] >= 0.5:
            matched[best] = True
            confidence = found.scores[row]
            sign = -1 if found.classes[row] == labels.classes[best] else 1
            classes[best] = (sign * confidence + 1) / 2
            place = 2 * (1 - free[best])
            location[best] = (confidence * (2 * place - 1) + 1) / 2
        elif found.scores[row] > gate:
            missing[row] = found.scores[row]
    return Mistakenness(classes, location, (~matched).astype(float), missing)


@dataclass(frozen=True)
class ObjectLab:
    """ObjectLab's label qualities turned round (1 - quality): of labels swapped and badly located [n], of detections
    overlooked [m] (-1: ignored), and the quality of the image."""

    swapped: Floats
    badly_located: Floats
    overlooked: Floats
    image_quality: float


def similarity(a: Floats, b: Floats) -> Floats:
    """Return .9 IoU + .1 exp(-.1 d), d the distance of the centers in pixels."""
    centers = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (a, b)]
    distance = np.linalg.norm(centers[0][:, None] - centers[1][None], axis=-1)
    near: Floats = 0.9 * iou(a, b) + 0.1 * np.exp(-0.1 * distance)
    return near


def object_lab(labels: Boxes, found: Boxes, least: float, high: float = 0.95, low: float = 0.5) -> ObjectLab:
    """Rate one image; ``least`` is the smallest similarity above 0 in the data set."""
    near, overlap = similarity(labels.xyxy, found.xyxy), iou(labels.xyxy, found.xyxy)
    same = labels.classes[:, None] == found.classes[None]
    swap, place = np.ones(len(labels.xyxy)), np.ones(len(labels.xyxy))
    between = iou(labels.xyxy, labels.xyxy) >= 0.95
    for row in range(len(labels.xyxy)):
        others = ~same[row] & (found.scores > high)
        if (between[row] & (labels.classes != labels.classes[row])).any():
            swap[row] = least
        elif others.any():
            swap[row] = max(least, 1 - near[row][others].max())
        own = same[row] & (found.scores > low)
        if own.any() and (overlap[row][own] > 0).any():
            place[row] = near[row][own].max()
    overlooked = np.full(len(found.xyxy), np.nan)
    for column in range(len(found.xyxy)):
        if found.scores[column] < high or (overlap[:, column] > 0).any():
            continue
        own = same[:, column]
        overlooked[column] = near[own, column].max() if own.any() else least * (1 - found.scores[column])
    parts = [_soft_minimum(values) for values in (overlooked[~np.isnan(overlooked)], place, swap)]
    quality = float(np.exp(np.log(np.maximum(parts, 1e-100)).mean()))
    return ObjectLab(1 - swap, 1 - place, np.where(np.isnan(overlooked), -1.0, 1 - overlooked), quality)


def _soft_minimum(values: Floats) -> float:
    if not len(values):
        return 1.0
    weights = np.exp(-values / 0.1 - (-values / 0.1).max())
    return float((weights / weights.sum() * values).sum())


def least_similarity(images: list[tuple[Boxes, Boxes]]) -> float:
    """Return the smallest similarity above 0 of a label and a detection in a data set."""
    values = [near[near > 0].min() for near in (similarity(a.xyxy, b.xyxy) for a, b in images) if near.size]
    return float(min(values, default=1e-6))

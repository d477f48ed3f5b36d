"""A changed artefact beside the one it was made from: agreement, average precision and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import ExportError
from models.structures import Detections
from training.evaluation.overlap import iou_matrix
from training.evaluation.prediction import Detector
from training.export.detection_error import detection_error
from training.export.timing import times_in_turns_ms

SCORE: Final = 0.25
SAME_IOU: Final = 0.8
ROUNDS: Final = 30


class FileDetector(Detector, Protocol):
    """An artefact at work."""

    path: Path

    def heads(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Return the raw heads of placed pictures [B, H, W, 3] in 0..255."""
        ...


@dataclass(frozen=True)
class Agreement:
    """How far one artefact is from another on ``num_pictures`` pictures.

    ``head_error`` is the largest difference of a raw head value, ``head_magnitude`` the largest value,
    ``detection_error`` that of the function of this name. Of ``num_detections`` that the original finds at score .25,
    ``num_same`` are found again: same class, IoU at least .8.
    """

    num_pictures: int
    head_error: float
    head_magnitude: float
    detection_error: float
    num_detections: int
    num_same: int


@dataclass(frozen=True)
class Timing:
    """Median milliseconds per picture (decoding and suppression at score .25 included), measured in turns."""

    original_ms: float
    changed_ms: float

    @property
    def speedup(self) -> float:
        """How many times as fast the changed artefact is."""
        return self.original_ms / self.changed_ms


def compare(original: FileDetector, changed: FileDetector, pictures: Sequence[NDArray[Any]]) -> Agreement:
    """Run placed pictures [H, W, 3] in 0..255 through both; raise ExportError where a head is not finite."""
    expected = [original.heads(picture[None]) for picture in pictures]
    got = [changed.heads(picture[None]) for picture in pictures]
    pairs = [pair for theirs, ours in zip(expected, got, strict=True) for pair in zip(theirs, ours, strict=True)]
    error = max(float(np.abs(ours - theirs).max()) for theirs, ours in pairs)
    if not np.isfinite(error):
        raise ExportError("expected finite heads of the changed network, got infinite ones or NaN")
    found = [(_detect(original, picture), _detect(changed, picture)) for picture in pictures]
    return Agreement(
        len(pictures),
        error,
        max(float(np.abs(theirs).max()) for theirs, _ in pairs),
        detection_error(expected, got, original.spec),
        sum(len(theirs.scores) for theirs, _ in found),
        sum(_num_same(theirs, ours) for theirs, ours in found),
    )


def time_both(original: FileDetector, changed: FileDetector, pictures: Sequence[NDArray[Any]]) -> Timing:
    """Return the time of each on the same pictures, in turns."""
    position = {id(original): 0, id(changed): 0}

    def run(detector: FileDetector) -> None:
        _detect(detector, pictures[position[id(detector)] % len(pictures)])
        position[id(detector)] += 1

    medians = np.median(times_in_turns_ms([lambda: run(original), lambda: run(changed)], ROUNDS), axis=0)
    return Timing(float(medians[0]), float(medians[1]))


def _detect(detector: FileDetector, picture: NDArray[Any]) -> Detections:
    return detector.detect(picture[None], [SCORE], [detector.spec.nms.iou_threshold])[0]


def _num_same(expected: Detections, got: Detections) -> int:
    """Return how many expected detections have one of their own class at their place."""
    if not len(got.scores):
        return 0
    crowd = np.zeros(len(got.scores), np.bool_)
    iou = iou_matrix(expected.boxes_xyxy.astype(np.float64), got.boxes_xyxy.astype(np.float64), crowd)
    same = (iou >= SAME_IOU) & (expected.class_ids[:, None] == got.class_ids[None])
    return int(same.any(axis=1).sum())

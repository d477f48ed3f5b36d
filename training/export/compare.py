"""Comparison of a changed artifact with its original: agreement, detection error and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from yoloscope.models.boxes import paired_iou
from yoloscope.models.decoding import Decoded, decode_heads
from yoloscope.models.detections import Detections
from yoloscope.models.errors import ExportError
from yoloscope.models.session import open_session
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.evaluation.matching import iou_matrix
from yoloscope.training.evaluation.predict import ImageDetector
from yoloscope.training.export.onnx import NETWORK_INPUT

SCORE: Final = 0.25
SAME_IOU: Final = 0.8
ROUNDS: Final = 30
_ROUNDS: Final = 15


class FileDetector(ImageDetector, Protocol):
    """An artifact at work."""

    path: Path

    def heads(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Return the raw heads of placed images [B, H, W, 3] in 0..255."""
        ...


@dataclass(frozen=True)
class Agreement:
    """Difference of one artifact from another on ``num_images`` images.

    ``head_error`` is the largest difference of a raw head value, ``head_magnitude`` the largest value,
    ``detection_error`` that of the function of this name. Of ``num_detections`` that the original finds at score .25,
    ``num_same`` are found again: same class, IoU at least .8.
    """

    num_images: int
    head_error: float
    head_magnitude: float
    detection_error: float
    num_detections: int
    num_same: int


@dataclass(frozen=True)
class Latency:
    """Median milliseconds per image (decoding and suppression at score .25 included), measured in turns."""

    original_ms: float
    changed_ms: float

    @property
    def speedup(self) -> float:
        """Speed of the changed artifact, relative to the original's."""
        return self.original_ms / self.changed_ms


def compare(original: FileDetector, changed: FileDetector, images: Sequence[NDArray[Any]]) -> Agreement:
    """Run placed images [H, W, 3] in 0..255 through both; raise ExportError where a head is not finite."""
    expected = [original.heads(image[None]) for image in images]
    got = [changed.heads(image[None]) for image in images]
    pairs = [pair for theirs, ours in zip(expected, got, strict=True) for pair in zip(theirs, ours, strict=True)]
    error = max(float(np.abs(ours - theirs).max()) for theirs, ours in pairs)
    if not np.isfinite(error):
        raise ExportError("expected finite heads of the changed network, got infinite ones or NaN")
    found = [(_detect(original, image), _detect(changed, image)) for image in images]
    return Agreement(
        len(images),
        error,
        max(float(np.abs(theirs).max()) for theirs, _ in pairs),
        detection_error(expected, got, original.spec),
        sum(len(theirs.scores) for theirs, _ in found),
        sum(_num_same(theirs, ours) for theirs, ours in found),
    )


def time_both(original: FileDetector, changed: FileDetector, images: Sequence[NDArray[Any]]) -> Latency:
    """Return the time of each on the same images, in turns."""
    position = {id(original): 0, id(changed): 0}

    def run(detector: FileDetector) -> None:
        _detect(detector, images[position[id(detector)] % len(images)])
        position[id(detector)] += 1

    medians = np.median(times_in_turns_ms([lambda: run(original), lambda: run(changed)], ROUNDS), axis=0)
    return Latency(float(medians[0]), float(medians[1]))


def _detect(detector: FileDetector, image: NDArray[Any]) -> Detections:
    return detector.detect(image[None], [SCORE], [detector.spec.nms.iou_threshold])[0]


def _num_same(expected: Detections, got: Detections) -> int:
    """Return how many expected detections have one of their own class at their place."""
    if not len(got.scores):
        return 0
    crowd = np.zeros(len(got.scores), np.bool_)
    iou = iou_matrix(expected.boxes_xyxy.astype(np.float64), got.boxes_xyxy.astype(np.float64), crowd)
    same = (iou >= SAME_IOU) & (expected.class_ids[:, None] == got.class_ids[None])
    return int(same.any(axis=1).sum())


def times_in_turns_ms(
    runs: Sequence[Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> NDArray[np.float64]:
    """Return the milliseconds [rounds, runs] of calling each in turn, after two rounds that do not count."""
    measured = np.zeros((rounds + 2, len(runs)))
    for row in measured:
        for column, run in enumerate(runs):
            start = clock()
            run()
            row[column] = (clock() - start) * 1e3
    return measured[2:]


def relative_time(network: onnx.ModelProto, reference: onnx.ModelProto, image: NDArray[np.float32]) -> float:
    """Return the time of one network as a multiple of another's, on one thread: least of 15 runs by least of 15.

    It is processor time of this thread, which runs both: other work on the machine must not choose layers.
    """
    sessions = [open_session(one.SerializeToString(), threads=1) for one in (network, reference)]
    feeds = {NETWORK_INPUT: image}
    runs = [lambda session=session: session.run(None, feeds) for session in sessions]
    fastest = times_in_turns_ms(runs, _ROUNDS, time.thread_time).min(axis=0)
    return float(fastest[0] / fastest[1])


Heads: TypeAlias = Sequence[NDArray[np.float32]]


_COUNTED_SCORE: Final = 0.01
"""Predictions below this score in both networks do not count."""


def detection_error(expected: Sequence[Heads], got: Sequence[Heads], spec: DetectorSpec) -> float:
    """Return the error of the predictions of some images as a fraction of the sum of the expected scores.

    Each predictor and class counts with the difference of its scores and, of the score that both share, with the part
    of the boxes that does not overlap (1 - IoU): 0 for the same predictions, 1 if nothing is found. It moves with
    average precision but is smooth, and needs no labels.
    """
    error = total = 0.0
    for theirs, ours in zip(expected, got, strict=True):
        one, all_scores = _error(_decode(theirs, spec), _decode(ours, spec))
        error, total = error + one, total + all_scores
    return error / total if total else 0.0 if not error else float("inf")


def _decode(heads: Heads, spec: DetectorSpec) -> Decoded:
    return decode_heads([torch.from_numpy(head) for head in heads], spec)


def _error(expected: Decoded, got: Decoded) -> tuple[float, float]:
    """Return the summed error and the summed expected scores of one batch."""
    counted = (expected.class_scores > _COUNTED_SCORE) | (got.class_scores > _COUNTED_SCORE)
    image, row, class_id = counted.nonzero(as_tuple=True)
    theirs, ours = expected.class_scores[image, row, class_id], got.class_scores[image, row, class_id]
    iou = paired_iou(expected.boxes_xyxy_norm[image, row], got.boxes_xyxy_norm[image, row])
    error = (theirs - ours).abs() + torch.minimum(theirs, ours) * (1 - iou)
    return float(error.sum()), float(theirs.sum())

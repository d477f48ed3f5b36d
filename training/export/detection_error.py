"""How far the detections of a changed network are from those of the original."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from models.boxes import paired_iou
from models.decoding import Decoded, decode_heads
from models.spec import DetectorSpec

Heads: TypeAlias = Sequence[NDArray[np.float32]]
_COUNTED_SCORE: Final = 0.01
"""Predictions below this score in both networks do not count."""


def detection_error(expected: Sequence[Heads], got: Sequence[Heads], spec: DetectorSpec) -> float:
    """Return the error of the predictions of some pictures as a fraction of the sum of the expected scores.

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

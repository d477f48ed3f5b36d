"""Detections of ours beside those that darknet found: from the same head tensors, and from the image itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from yoloscope.models.decoding import decode_heads
from yoloscope.models.nms import diou_nms
from yoloscope.models.spec import DetectorSpec

IOU_THRESHOLD = 0.45
HEADS_TOLERANCE = 1e-5
IMAGE_BOX_TOLERANCE_PX = 0.002 * 416
IMAGE_SCORE_TOLERANCE = 0.014
BETAS: dict[str, float | None] = {"nms_sort": None, "diounms_beta0.6": 0.6, "greedynms_kind": 0.6}


@dataclass(frozen=True)
class Found:
    """Detections of one image: class ids [n], scores [n], boxes [n, 4] as cx, cy, w, h fractions of the image."""

    class_ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class DetectionParity:
    """Two sets of detections compared: how many on each side, and the worst difference of those that pair up."""

    case: str
    expected: int
    got: int
    unpaired: int
    worst_score: float
    worst_box: float
    score_tolerance: float
    box_tolerance: float

    @property
    def passed(self) -> bool:
        """Whether everything pairs up within the tolerances."""
        within = self.worst_score <= self.score_tolerance and self.worst_box <= self.box_tolerance
        return within and self.unpaired == 0


def darknet_found(rows: Sequence[dict[str, Any]]) -> Found:
    """Read one list of detections of darknet's."""
    return Found(
        np.array([row["class_id"] for row in rows], np.int64),
        np.array([row["prob"] for row in rows], np.float64),
        np.array([row["cxcywh_rel"] for row in rows], np.float64).reshape(-1, 4),
    )


def found_in_heads(heads: Sequence[torch.Tensor], spec: DetectorSpec, threshold: float, kind: str) -> Found:
    """Decode raw heads of one image [1, ...] and suppress: ``raw``, or a key of BETAS."""
    decoded = decode_heads(heads, spec)
    scores = decoded.class_scores[0]
    rows, class_ids = torch.nonzero(scores > threshold, as_tuple=True)
    boxes, scores = decoded.boxes_xyxy_norm[0][rows], scores[rows, class_ids]
    if kind != "raw":
        keep = diou_nms(boxes, scores, class_ids, IOU_THRESHOLD, BETAS[kind])
        boxes, scores, class_ids = boxes[keep], scores[keep], class_ids[keep]
    return Found(class_ids.numpy(), scores.double().numpy(), centers(boxes.double().numpy()))


def centers(boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cx, cy, w, h of corner boxes [n, 4]."""
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    return np.concatenate(((low + high) / 2, high - low), axis=1)


def compare_stored_heads(folder: Path, spec: DetectorSpec) -> Iterator[DetectionParity]:
    """Compare every set and threshold of dog.json with what the stored head tensors give."""
    with np.load(folder / "dog_tensors.npz") as tensors:
        names = sorted((name for name in tensors.files if name.endswith("_pre")), key=lambda name: int(name[4:-4]))
        heads = [torch.from_numpy(tensors[name].astype(np.float32))[None] for name in names]
    heads = [head.reshape(spec.head_shape(index, 1)) for index, head in enumerate(heads)]
    for threshold, sets in _results(folder / "dog.json").items():
        for kind, rows in sets.items():
            found = found_in_heads(heads, spec, float(np.float32(threshold)), kind)
            yield compare(f"{kind} at {threshold}", darknet_found(rows), found, HEADS_TOLERANCE, HEADS_TOLERANCE)


def compare_image(
    case: str, rows: Sequence[dict[str, Any]], found: Found, threshold: float, input_size: int
) -> DetectionParity:
    """Compare detections from an image; whoever is within the score tolerance of the threshold may be missing.

    The tolerances come from the decoders of JPEG, which differ by a few levels, and were measured on a network of 416
    pixels: .014 in score and .002 of the image, that is .83 pixels of the network's input of ``input_size``.
    """
    box_tolerance = IMAGE_BOX_TOLERANCE_PX / input_size
    return compare(case, darknet_found(rows), found, IMAGE_SCORE_TOLERANCE, box_tolerance, threshold=threshold)


def compare(
    case: str,
    expected: Found,
    found: Found,
    score_tolerance: float,
    box_tolerance: float,
    *,
    threshold: float | None = None,
) -> DetectionParity:
    """Pair detections of one class, nearest first, and measure the worst difference of a pair.

    With a ``threshold``, a detection that has no partner counts only where its score is above the threshold by more
    than the score tolerance.
    """
    pairs = list(_pairs(expected, found, score_tolerance, box_tolerance))
    partners = (np.array([i for i, _ in pairs], np.int64), np.array([j for _, j in pairs], np.int64))
    sure = -np.inf if threshold is None else threshold + score_tolerance
    alone = [
        int((np.delete(side.scores, partner) > sure).sum())
        for side, partner in zip((expected, found), partners, strict=True)
    ]
    score_gap = np.abs(expected.scores[partners[0]] - found.scores[partners[1]])
    box_gap = np.abs(expected.boxes[partners[0]] - found.boxes[partners[1]])
    return DetectionParity(
        case,
        len(expected),
        len(found),
        sum(alone),
        float(score_gap.max(initial=0.0)),
        float(box_gap.max(initial=0.0)),
        score_tolerance,
        box_tolerance,
    )


def _pairs(expected: Found, found: Found, score_tolerance: float, box_tolerance: float) -> Iterator[tuple[int, int]]:
    """Yield index pairs of one class, the smallest difference in units of the tolerances first."""
    for class_id in np.unique(expected.class_ids):
        ours = np.flatnonzero(found.class_ids == class_id)
        theirs = np.flatnonzero(expected.class_ids == class_id)
        score_gap = np.abs(expected.scores[theirs][:, None] - found.scores[ours][None]) / score_tolerance
        box_gap = np.abs(expected.boxes[theirs][:, None] - found.boxes[ours][None]).max(-1) / box_tolerance
        gap = np.maximum(score_gap, box_gap)
        while gap.size and np.isfinite(gap.min()):
            i, j = np.unravel_index(gap.argmin(), gap.shape)
            yield int(theirs[i]), int(ours[j])
            gap[i, :] = np.inf
            gap[:, j] = np.inf


def _results(path: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    results: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(path.read_text())["results"]
    return results

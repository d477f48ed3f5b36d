"""AP of variants of a detector on placed images, against labels or against what the detector itself finds elsewhere.

Without labels the truth is what the original detector finds in the same images made smaller (7/8 of the size, on gray).
A variant that copies the original box by box gains nothing from it: the original does not reach AP 1 either, so that
the difference of the two is on the scale of a loss of AP by labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from yoloscope.models.images import read_image
from yoloscope.models.preprocess import preprocess
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.datasets import LabeledImage
from yoloscope.training.evaluation.coco import evaluate_coco
from yoloscope.training.evaluation.predict import EvaluatedImage, ImageDetector, PredictionSettings, Truth

SHRUNK: Final = 0.875
_GRAY: Final = 127.0


@dataclass(frozen=True)
class JudgedImage:
    """An image as the network sees it, float32 [H, W, P] in 0..255, with the truth in network pixels."""

    placed: NDArray[np.float32]
    truth: Truth


def with_labels(images: Iterable[LabeledImage], spec: DetectorSpec) -> Iterator[JudgedImage]:
    """Yield labeled images with their labels as truth; raises ImageDecodeError at an image that cannot be read."""
    for image in images:
        placed, placement = preprocess(image.read(), spec)
        truth = Truth.of_image(image)
        boxes = placement.apply(truth.boxes_xyxy_px)
        yield JudgedImage(placed, Truth(boxes, truth.class_ids, _areas(boxes), truth.crowd, truth.difficult))


def with_own_detections(paths: Iterable[Path], original: ImageDetector, scale: float = SHRUNK) -> Iterator[JudgedImage]:
    """Yield images with what ``original`` finds in them made smaller, at its own thresholds, as truth.

    Raises ImageDecodeError at an image that cannot be read.
    """
    nms = original.spec.nms
    for path in paths:
        placed, _ = preprocess(read_image(path), original.spec)
        smaller, left, top, scale_x, scale_y = _shrink(placed, scale)
        found = original.detect(smaller[None], [nms.score_threshold], [nms.iou_threshold])[0]
        boxes = (found.boxes_xyxy.astype(np.float64) - (left, top, left, top)) / (scale_x, scale_y, scale_x, scale_y)
        none = np.zeros(len(found), np.bool_)
        yield JudgedImage(placed, Truth(boxes, found.class_ids, _areas(boxes), none, none))


def average_precisions(detectors: Sequence[ImageDetector], images: Iterable[JudgedImage]) -> list[float]:
    """Return COCO's AP of each detector on judged images, one in memory at a time; -1: there is no object."""
    settings = PredictionSettings(iou_threshold=detectors[0].spec.nms.iou_threshold)
    evaluated: list[list[EvaluatedImage]] = [[] for _ in detectors]
    for number, image in enumerate(images, 1):
        for detector, done in zip(detectors, evaluated, strict=True):
            found = detector.detect(image.placed[None], [settings.score_threshold], [settings.iou_threshold])[0]
            done.append(EvaluatedImage(number, image.truth, found.select(slice(settings.max_detections))))
    return [evaluate_coco(done, len(detectors[0].spec.class_names)).numbers["AP"] for done in evaluated]


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas


def _shrink(placed: NDArray[np.float32], scale: float) -> tuple[NDArray[np.float32], int, int, float, float]:
    """Return the image made smaller amid gray, and its place: left, top, and the scales across and down."""
    height, width = placed.shape[:2]
    rows, columns = round(height * scale), round(width * scale)
    top, left = (height - rows) // 2, (width - columns) // 2
    levels = torch.from_numpy(placed).permute(2, 0, 1)[None]
    resized = functional.interpolate(levels, (rows, columns), mode="bilinear", antialias=True)
    smaller = np.full_like(placed, _GRAY)
    smaller[top : top + rows, left : left + columns] = resized[0].permute(1, 2, 0).numpy()
    return smaller, left, top, columns / width, rows / height

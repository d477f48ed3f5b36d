"""COCO metrics by faster-coco-eval: the twelve numbers, AP per class, precision-recall curves, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from yoloscope.training.evaluation.predict import EvaluatedImage

COCO_NAMES: Final = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
RECALLS: Final = np.linspace(0.0, 1.0, 101)
"""The recalls at which curves are given."""


@dataclass(frozen=True)
class CocoMetrics:
    """COCO's numbers by name (-1 where no object counts), and by class.

    ``ap`` and ``ap50`` are [C], NaN for a class without objects. ``precision50`` and ``scores50`` are [101, C]: the
    interpolated precision at each of ``RECALLS`` at IoU .5, and the score threshold that reaches it; 0 where it is not
    reached.
    """

    numbers: dict[str, float]
    ap: NDArray[np.float64]
    ap50: NDArray[np.float64]
    precision50: NDArray[np.float64]
    scores50: NDArray[np.float64]


def evaluate_coco(images: Sequence[EvaluatedImage], num_classes: int) -> CocoMetrics:
    """Return COCO's metrics: IoU .5 to .95, at most 100 detections per class and image.

    Difficult objects count as any other; detections in a crowd are ignored. Equal scores rank by ascending image id.
    """
    truth = COCO(truth_document(images, num_classes))
    found = truth.loadRes(detection_rows(images))
    evaluation = COCOeval_faster(truth, found, "bbox")
    evaluation.run()
    precision = np.where(evaluation.eval["precision"] < 0, np.nan, evaluation.eval["precision"])[:, :, :, 0, -1]
    numbers = dict(zip(COCO_NAMES, (float(value) for value in evaluation.stats[:12]), strict=True))
    return CocoMetrics(
        numbers,
        precision.mean(axis=(0, 1)),
        precision[0].mean(axis=0),
        np.asarray(precision[0]),
        np.asarray(evaluation.eval["scores"][0, :, :, 0, -1]),
    )


def truth_document(images: Sequence[EvaluatedImage], num_classes: int) -> dict[str, Any]:
    """Return the truth as a COCO document; categories and annotations count from 1, which COCO's matching relies on."""
    annotations: list[dict[str, Any]] = []
    for image in images:
        truth = image.truth
        for row, box in enumerate(truth.boxes_xyxy_px.tolist()):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image.image_id,
                    "category_id": int(truth.class_ids[row]) + 1,
                    "bbox": _xywh(box),
                    "area": float(truth.areas_px[row]),
                    "iscrowd": int(truth.crowd[row]),
                }
            )
    return {
        "images": [{"id": image.image_id} for image in images],
        "annotations": annotations,
        "categories": [{"id": index + 1, "name": str(index)} for index in range(num_classes)],
    }


def detection_rows(images: Sequence[EvaluatedImage], category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Return the detections in COCO's results format, with the data set's ``category_ids`` [C] if given, else 1..C."""
    return [
        {
            "image_id": image.image_id,
            "category_id": int(class_id) + 1 if category_ids is None else category_ids[class_id],
            "bbox": _xywh(box),
            "score": score,
        }
        for image in images
        for box, score, class_id in zip(
            image.detections.boxes_xyxy.tolist(),
            image.detections.scores.tolist(),
            image.detections.class_ids.tolist(),
            strict=True,
        )
    ]


def _xywh(box: list[float]) -> list[float]:
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of a number over ``resamples`` draws that hold an object, and its standard deviation."""

    low: float
    high: float
    deviation: float
    resamples: int


def bootstrap(images: Sequence[EvaluatedImage], num_classes: int, resamples: int, seed: int = 0) -> dict[str, Interval]:
    """Return the intervals of AP and AP50: as many images are drawn with replacement, ``resamples`` times.

    Draws of images without any object have no AP and are left out; where fewer than two have one there is no
    interval. Source: Efron 1979, the percentile interval.
    """
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        chosen = generator.integers(len(images), size=len(images))
        drawn = [replace(images[index], image_id=number) for number, index in enumerate(chosen.tolist(), start=1)]
        numbers = evaluate_coco(drawn, num_classes).numbers
        if numbers["AP"] >= 0:
            draws.append((numbers["AP"], numbers["AP50"]))
    if len(draws) < 2:
        return {}
    found = np.array(draws)
    low, high = np.percentile(found, (2.5, 97.5), axis=0)
    deviation = found.std(axis=0, ddof=1)
    return {
        name: Interval(float(low[column]), float(high[column]), float(deviation[column]), len(draws))
        for column, name in enumerate(("AP", "AP50"))
    }

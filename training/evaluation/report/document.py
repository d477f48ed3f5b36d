"""The JSON document of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from yoloscope.training.evaluation.coco import RECALLS
from yoloscope.training.evaluation.evaluate import Evaluation


def to_document(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON values: COCO's twelve numbers at the top (-1 where undefined), then the rest.

    Everywhere else null stands for a number that does not exist. Classes without objects and detections are left out.
    """
    coco, dataset, speed = evaluation.coco, evaluation.dataset, evaluation.speed
    return coco.numbers | {
        "data": {
            "source": str(dataset.source),
            "split": dataset.split,
            "images": len(evaluation.images),
            "objects": evaluation.num_objects,
            "detections": evaluation.num_detections,
            "left_out": list(evaluation.left_out),
        },
        "settings": asdict(evaluation.settings),
        "classes": list(_classes(evaluation)),
        "voc_darknet_compatible": {
            "AP50_11_point": evaluation.voc.mean_11_point,
            "AP50_all_point": evaluation.voc.mean_all_point,
        },
        "confusion": {
            "score_threshold": evaluation.confusion.score_threshold,
            "iou_threshold": evaluation.confusion.iou_threshold,
            "classes": [*dataset.class_names, "background"],
            "matrix": evaluation.confusion.matrix.tolist(),
        },
        "tide": {
            "AP50": number(evaluation.tide.ap50),
            "counts": dict(evaluation.tide.counts),
            "gains": {kind: number(gain) for kind, gain in evaluation.tide.gains.items()},
        },
        "curves": {"recall": RECALLS.round(2).tolist(), "iou_threshold": 0.5, "classes": dict(_curves(evaluation))},
        "speed": None if speed is None else asdict(speed) | {"images_per_second": speed.images_per_second},
    }


def number(value: float) -> float | None:
    """Return a number, or None for NaN, which JSON has not."""
    return None if math.isnan(value) else float(value)


def shown_classes(evaluation: Evaluation) -> list[int]:
    """Return the ids of the classes that have objects or detections above the confusion's threshold."""
    matrix = evaluation.confusion.matrix
    objects = np.array(evaluation.dataset.objects_per_class)
    return [int(index) for index in np.flatnonzero(objects + matrix[:, :-1].sum(axis=0))]


def _classes(evaluation: Evaluation) -> Iterable[dict[str, Any]]:
    confusion, dataset = evaluation.confusion, evaluation.dataset
    for index in shown_classes(evaluation):
        yield {
            "class_id": index,
            "class_name": dataset.class_names[index],
            "objects": dataset.objects_per_class[index],
            "AP": number(evaluation.coco.ap[index]),
            "AP50": number(evaluation.coco.ap50[index]),
            "AP50_11_point": number(evaluation.voc.ap_11_point[index]),
            "AP50_all_point": number(evaluation.voc.ap_all_point[index]),
            "precision": number(confusion.precision[index]),
            "recall": number(confusion.recall[index]),
        }


def _curves(evaluation: Evaluation) -> Iterable[tuple[str, Any]]:
    coco = evaluation.coco
    for index in shown_classes(evaluation):
        if not np.isnan(coco.ap50[index]):
            curve = {"precision": coco.precision50[:, index].tolist(), "score": coco.scores50[:, index].tolist()}
            yield evaluation.dataset.class_names[index], curve

"""Truth and detections made by hand or by chance."""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from yoloscope.models.detections import Detections
from yoloscope.training.evaluation.predict import EvaluatedImage, Truth

Box = tuple[float, float, float, float]


def truth(objects: Sequence[tuple[int, Box]], crowd: Sequence[int] = (), difficult: Sequence[int] = ()) -> Truth:
    """Return (class, box) pairs as truth; ``crowd`` and ``difficult`` list positions."""
    boxes = np.array([box for _, box in objects], np.float64).reshape(-1, 4)
    rows = np.arange(len(objects))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    ids = np.array([class_id for class_id, _ in objects], np.int64)
    return Truth(boxes, ids, areas, np.isin(rows, crowd), np.isin(rows, difficult))


def found(rows: Sequence[tuple[int, float, Box]]) -> Detections:
    """Return (class, score, box) triples as detections, score descending."""
    ordered = sorted(rows, key=lambda row: -row[1])
    return Detections(
        np.array([box for _, _, box in ordered], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in ordered], np.float32),
        np.array([class_id for class_id, _, _ in ordered], np.int64),
    )


def image(
    objects: Sequence[tuple[int, Box]],
    detections: Sequence[tuple[int, float, Box]],
    image_id: int = 1,
    crowd: Sequence[int] = (),
    difficult: Sequence[int] = (),
) -> EvaluatedImage:
    return EvaluatedImage(image_id, truth(objects, crowd, difficult), found(detections))


def random_images(rng: Generator, count: int, num_classes: int) -> list[EvaluatedImage]:
    """Return images of 0 to 12 objects of all sizes, a tenth of them crowds, with good, bad and doubled detections.

    Scores have two digits, so that many are equal; every seventh image is empty and every fifth has no detections.
    """
    return [_random_image(rng, index, num_classes) for index in range(count)]


def _random_image(rng: Generator, index: int, num_classes: int) -> EvaluatedImage:
    count = 0 if index % 7 == 0 else int(rng.integers(1, 13))
    corners = rng.uniform(0, 400, (count, 2))
    boxes = np.concatenate((corners, corners + np.exp(rng.uniform(np.log(4), np.log(240), (count, 2)))), axis=1)
    ids = rng.integers(0, num_classes, count)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * rng.uniform(0.4, 1, count)
    labeled = Truth(boxes, ids, areas, rng.random(count) < 0.1, np.zeros(count, np.bool_))
    return EvaluatedImage(index * 3 + 2, labeled, _random_detections(rng, index, labeled, num_classes))


def _random_detections(rng: Generator, index: int, labeled: Truth, num_classes: int) -> Detections:
    picked = np.zeros(0, np.int64) if index % 5 == 0 else np.repeat(np.arange(len(labeled)), rng.integers(1, 4))
    sizes = np.tile(labeled.boxes_xyxy_px[picked, 2:] - labeled.boxes_xyxy_px[picked, :2], 2)
    boxes = labeled.boxes_xyxy_px[picked] + sizes * rng.normal(0, 0.12, (len(picked), 4))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    ids = np.where(rng.random(len(picked)) < 0.8, labeled.class_ids[picked], rng.integers(0, num_classes, len(picked)))
    scores = rng.random(len(picked)).round(2)
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes[order].astype(np.float32), scores[order].astype(np.float32), ids[order])

"""Evaluate one detector on one data set: COCO and VOC AP, confusion matrix, TIDE errors, speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from yoloscope.models.detections import Detections
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.annotations import find_unusable
from yoloscope.training.data.datasets import DetectionDataset
from yoloscope.training.evaluation.coco import CocoMetrics, evaluate_coco
from yoloscope.training.evaluation.confusion import Confusion, confusion_matrix
from yoloscope.training.evaluation.predict import (
    EvaluatedImage,
    ImageDetector,
    PredictionSettings,
    Speed,
    Truth,
    predict_images,
    summarize_speed,
)
from yoloscope.training.evaluation.tide import TideResult, evaluate_tide
from yoloscope.training.evaluation.voc import VocResult, evaluate_voc


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation.

    ``dataset`` has the model's classes; ``left_out`` names the labels that no detection can match; ``speed`` is None
    where detections were read from a file.
    """

    dataset: DetectionDataset
    settings: PredictionSettings
    images: tuple[EvaluatedImage, ...]
    left_out: tuple[str, ...]
    coco: CocoMetrics
    voc: VocResult
    confusion: Confusion
    tide: TideResult
    speed: Speed | None

    @property
    def num_objects(self) -> int:
        """Number of usable objects, crowds included."""
        return sum(len(image.truth) for image in self.images)

    @property
    def num_detections(self) -> int:
        """Number of detections at the low threshold of the evaluation."""
        return sum(len(image.detections) for image in self.images)


def evaluate(
    detector: ImageDetector,
    dataset: DetectionDataset,
    settings: PredictionSettings | None = None,
    *,
    confusion_threshold: float = 0.25,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Run a detector over a data set and measure its detections; ``progress(1)`` is called after each image.

    Classes go by name. Raises DatasetError if the data set has none of the images, or files or labels that cannot be
    read, or classes with objects that the model does not know.
    """
    dataset = _sound(dataset).for_model(detector.spec.class_names)
    settings = settings or PredictionSettings(iou_threshold=detector.spec.nms.iou_threshold)
    timed = []
    for done in predict_images(detector, dataset.images, settings):
        timed.append(done)
        if progress is not None:
            progress(1)
    detections = [one.detections for one in timed]
    return _judge(dataset, settings, detections, confusion_threshold, summarize_speed(timed))


def evaluate_results(
    detections: Sequence[Detections], dataset: DetectionDataset, *, confusion_threshold: float = 0.25
) -> Evaluation:
    """Measure the detections of each image of a data set, in pixels, score descending (see ``read_results``).

    Raises DatasetError as ``evaluate`` does.
    """
    most = max(map(len, detections), default=1)
    return _judge(_sound(dataset), PredictionSettings(0.0, 1.0, most), detections, confusion_threshold, None)


def _sound(dataset: DetectionDataset) -> DetectionDataset:
    dataset.require_sound()
    if not dataset.images:
        raise DatasetError(f"expected images in {dataset.source}, got none")
    return dataset


def _judge(
    dataset: DetectionDataset,
    settings: PredictionSettings,
    detections: Sequence[Detections],
    confusion_threshold: float,
    speed: Speed | None,
) -> Evaluation:
    images = tuple(
        EvaluatedImage(image.image_id, Truth.of_image(image), found)
        for image, found in zip(dataset.images, detections, strict=True)
    )
    num_classes = len(dataset.class_names)
    return Evaluation(
        dataset,
        settings,
        images,
        _left_out(dataset),
        evaluate_coco(images, num_classes),
        evaluate_voc(images, num_classes),
        confusion_matrix(images, num_classes, confusion_threshold),
        evaluate_tide(images, num_classes),
        speed,
    )


def _left_out(dataset: DetectionDataset) -> tuple[str, ...]:
    return tuple(
        f"{image.label_path}#{finding.problem.pointer}: {finding.problem.detail}"
        for image in dataset.images
        for finding in find_unusable(image.labels)
    )

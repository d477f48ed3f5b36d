"""Detections of the benchmark's images, found once, and the second annotation of BCCD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.audit.peers import Boxes
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.annotations import ImageLabels, LabelObject, parse_labels, usable_rows
from yoloscope.training.data.datasets import LabeledImage, open_dataset
from yoloscope.training.diagnostics.batch import AuditBatch
from yoloscope.training.diagnostics.calibrate import TILED_VIEWS, VIEWS, CalibrationImage, calibrate
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.views import HeadsDetector, View, ViewDetections, detect_views

LEAST_SCORE = 0.01
REVIEWED_CLASSES = ("WBC", "RBC", "Platelets")


@dataclass(frozen=True)
class BenchImage:
    """An image, its labels as published, and what the detector finds in its views."""

    name: str
    labels: ImageLabels
    found: ViewDetections

    def detections(self) -> Boxes:
        """Return the detections of the plain view that every method but ours goes by, in pixels."""
        rows = (self.found.view_index == 0) & (self.found.scores > LEAST_SCORE)
        return Boxes(
            (self.found.boxes_xyxy_frac[rows].double() * self.size()).numpy(),
            self.found.class_ids[rows].numpy(),
            self.found.scores[rows].double().numpy(),
        )

    def size(self) -> torch.Tensor:
        """Return width, height, width, height in pixels."""
        return torch.tensor((self.labels.image_width, self.labels.image_height) * 2, dtype=torch.float64)


def load_images(
    detector: HeadsDetector, data: Path, split: str | None, views: Sequence[View] = VIEWS
) -> list[BenchImage]:
    """Return all images of a split with their detections."""
    dataset = open_dataset(data, split).for_model(detector.spec.class_names)
    return [detect_image(detector, image, views) for image in dataset.images]


def detect_image(detector: HeadsDetector, image: LabeledImage, views: Sequence[View] = VIEWS) -> BenchImage:
    """Return an image with its detections."""
    return BenchImage(image.path.stem, image.labels, detect_views(detector, image.read(), views))


def with_objects(image: LabeledImage, objects: Sequence[LabelObject]) -> LabeledImage:
    """Return an image with other labels."""
    labels = replace(image.labels, objects=tuple(objects))
    sizes = labels.boxes_xyxy_px[:, 2:] - labels.boxes_xyxy_px[:, :2]
    return replace(image, labels=labels, areas_px=tuple(np.prod(sizes, axis=1).tolist()))


def label_boxes(labels: ImageLabels) -> tuple[Boxes, list[int]]:
    """Return the labels that are judged, in pixels, and their positions."""
    rows = [row for row in usable_rows(labels) if not labels.objects[row].crowd]
    return Boxes(labels.boxes_xyxy_px[rows], labels.class_ids[rows], np.ones(len(rows))), rows


def calibrate_images(images: list[BenchImage], names: tuple[str, ...]) -> AuditCalibration:
    """Fit a calibration to images and their labels."""
    views = VIEWS if images[0].found.tiled is None else TILED_VIEWS
    found = [CalibrationImage(image.labels, image.found.without_heads()) for image in images]
    return calibrate(found, names, "benchmark", views=views)


def audit_batch(
    images: list[BenchImage], labels: list[ImageLabels], spec: DetectorSpec, calibration: AuditCalibration
) -> AuditBatch:
    """Return the audit of images under other labels, listing every suspicion."""
    return AuditBatch(
        [image.name for image in images], labels, [image.found for image in images], spec, calibration, floor=0.0
    )


def read_reviewed(folder: Path, image: BenchImage, names: tuple[str, ...]) -> Boxes | None:
    """Return the second annotation of an image of BCCD in pixels and the model's classes, None where there is none."""
    path = folder / "labels" / f"{image.name}.txt"
    if not path.is_file():
        return None
    labels = parse_labels(
        path.read_bytes(),
        class_names=REVIEWED_CLASSES,
        image_width=image.labels.image_width,
        image_height=image.labels.image_height,
    )
    own = np.array([names.index(REVIEWED_CLASSES[class_id]) for class_id in labels.class_ids], np.int64)
    return Boxes(labels.boxes_xyxy_px, own, np.ones(len(own)))

"""Run a detector over the images of a data set: ground truth and detections of each image, and the time it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.detections import Detections
from yoloscope.models.preprocess import Placement, preprocess
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.annotations import usable_rows
from yoloscope.training.data.datasets import LabeledImage


class ImageDetector(Protocol):
    """A detector that can be evaluated: an artifact in onnxruntime, a torch network, or a stand-in of a test."""

    @property
    def spec(self) -> DetectorSpec:
        """The detector's description."""
        ...

    def detect(
        self, images: NDArray[np.float32], score_threshold: Sequence[float], iou_threshold: Sequence[float]
    ) -> list[Detections]:
        """Return the detections of placed images [B, H, W, 3] in 0..255, thresholds per image; network pixels."""
        ...


@dataclass(frozen=True)
class PredictionSettings:
    """Settings of a detector under evaluation; the defaults are COCO's low threshold and best 100 boxes per image."""

    score_threshold: float = 0.001
    iou_threshold: float = 0.45
    max_detections: int = 100
    batch_size: int = 1


@dataclass(frozen=True)
class Truth:
    """The labeled objects of one image.

    ``boxes_xyxy_px`` is float64 [M, 4] in pixels of the image, ``class_ids`` int64 [M], ``areas_px`` float64 [M]
    (what COCO sorts small, medium and large by), ``crowd`` and ``difficult`` bool [M].
    """

    boxes_xyxy_px: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    areas_px: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    difficult: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.class_ids)

    @classmethod
    def of_image(cls, image: LabeledImage) -> Truth:
        """Return the objects of a labeled image that a detection can match (see ``usable_rows``)."""
        rows = usable_rows(image.labels)
        objects = [image.labels.objects[row] for row in rows]
        return cls(
            image.labels.boxes_xyxy_px[rows],
            image.labels.class_ids[rows],
            np.array([image.areas_px[row] for row in rows], np.float64),
            np.array([label.crowd for label in objects], np.bool_),
            np.array([label.difficult for label in objects], np.bool_),
        )


@dataclass(frozen=True)
class EvaluatedImage:
    """One image: its truth, and the detections in pixels of the image, score descending."""

    image_id: int
    truth: Truth
    detections: Detections


@dataclass(frozen=True)
class TimedPrediction:
    """The detections of one image in its pixels, and the milliseconds that each stage took."""

    image: LabeledImage
    detections: Detections
    read_ms: float
    place_ms: float
    network_ms: float


def predict_images(
    detector: ImageDetector, images: Sequence[LabeledImage], settings: PredictionSettings
) -> Iterator[TimedPrediction]:
    """Yield the detections of every image, in order; boxes are not clipped.

    The network's time (decoding and suppression included) is that of a batch divided by its images; one run on gray
    comes before the first. Raises ImageDecodeError or DatasetError at an image that cannot be used.
    """
    spec = detector.spec
    gray = np.full((1, spec.input_height, spec.input_width, 3), 127, np.float32)
    detector.detect(gray, [settings.score_threshold], [settings.iou_threshold])
    for start in range(0, len(images), settings.batch_size):
        yield from _predict_batch(detector, images[start : start + settings.batch_size], settings)


def _predict_batch(
    detector: ImageDetector, images: Sequence[LabeledImage], settings: PredictionSettings
) -> Iterator[TimedPrediction]:
    prepared = [_prepare(image, detector.spec) for image in images]
    count = len(prepared)
    start = time.perf_counter()
    results = detector.detect(
        np.stack([one.placed for one in prepared]),
        [settings.score_threshold] * count,
        [settings.iou_threshold] * count,
    )
    network_ms = (time.perf_counter() - start) * 1e3 / count
    for image, one, raw in zip(images, prepared, results, strict=True):
        best = raw.select(slice(settings.max_detections))
        boxes = one.placement.invert(best.boxes_xyxy).astype(np.float32)
        found = Detections(boxes, best.scores, best.class_ids)
        yield TimedPrediction(image, found, one.read_ms, one.place_ms, network_ms)


@dataclass(frozen=True)
class _Prepared:
    placed: NDArray[np.float32]
    placement: Placement
    read_ms: float
    place_ms: float


def _prepare(image: LabeledImage, spec: DetectorSpec) -> _Prepared:
    start = time.perf_counter()
    pixels = image.read()
    read = time.perf_counter()
    placed, placement = preprocess(pixels, spec)
    return _Prepared(placed, placement, (read - start) * 1e3, (time.perf_counter() - read) * 1e3)


@dataclass(frozen=True)
class StageTime:
    """Milliseconds per image of one stage."""

    mean_ms: float
    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, values_ms: NDArray[np.float64]) -> StageTime:
        """Summarize the times of at least one image."""
        return cls(float(values_ms.mean()), float(np.median(values_ms)), float(np.percentile(values_ms, 95)))


@dataclass(frozen=True)
class Speed:
    """Times of the stages: read and decode the file, place it on the network input, network with decoding and NMS."""

    read: StageTime
    place: StageTime
    network: StageTime
    total: StageTime

    @property
    def images_per_second(self) -> float:
        """Images in a second, one after another."""
        return 1e3 / self.total.mean_ms


def summarize_speed(timed: Sequence[TimedPrediction]) -> Speed:
    """Return the times of at least one image, summarized."""
    columns = np.array([(one.read_ms, one.place_ms, one.network_ms) for one in timed], np.float64)
    read, place, network = (StageTime.of(columns[:, stage]) for stage in range(3))
    return Speed(read, place, network, StageTime.of(columns.sum(axis=1)))

"""One detection request: decode and place in parallel, run, bring back; nothing of it on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from yoloscope.app.services.inference import (
    DetectSettings,
    ImageDetections,
    PreprocessedImage,
    Timing,
    infer,
    postprocess,
    prepare,
    resolve_classes,
)
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.state import Services
from yoloscope.models.errors import ImageError
from yoloscope.models.structures import Detections


@dataclass(frozen=True)
class DetectQuery:
    """What to look for and how: a model's name (None for the default), thresholds, and classes by name or id."""

    model: str | None
    score_threshold: float | None
    iou_threshold: float | None
    max_detections: int
    classes: tuple[str | int, ...] | None
    keep_images: bool = False


@dataclass(frozen=True)
class DetectRun:
    """Detections of all images in order, with the model under its served name and the times."""

    model: str
    runtime: Runtime
    results: tuple[ImageDetections, ...]
    timing_ms: dict[str, float]


def settings_for(query: DetectQuery, runtime: Runtime) -> DetectSettings:
    """Fill in the model's own thresholds and resolve the classes; raises RequestError for classes it lacks."""
    nms = runtime.spec.nms
    classes = None if query.classes is None else resolve_classes(query.classes, runtime.spec.class_names)
    return DetectSettings(
        nms.score_threshold if query.score_threshold is None else query.score_threshold,
        nms.iou_threshold if query.iou_threshold is None else query.iou_threshold,
        query.max_detections,
        classes,
    )


async def detect(services: Services, images: Sequence[bytes], query: DetectQuery) -> DetectRun:
    """Detect in every image.

    ``timing_ms`` has ``decode`` (bytes to network input), ``queue`` (waiting for the network), ``inference``,
    ``finish`` and ``total``. Raises BusyError, ModelNotFoundError, RequestError or the ImageError of an image.
    """
    timing = Timing()
    with timing.stage("total"), services.limiter.hold(len(images)):
        runtime = await services.model(query.model)
        settings = settings_for(query, runtime)
        with timing.stage("decode"):
            prepared = await _prepare_all(services, images, runtime, keep_images=query.keep_images)
        with timing.stage("queue"):
            raw = await services.inference.run(_timed_infer, timing, runtime, prepared, settings, services)
        with timing.stage("finish"):
            results = tuple(postprocess(item, found, settings) for item, found in zip(prepared, raw, strict=True))
    timing.stages["queue"] -= timing.stages["inference"]
    times = {name: timing.stages[name] for name in ("decode", "queue", "inference", "finish", "total")}
    return DetectRun(query.model or services.store.default, runtime, results, times)


async def _prepare_all(
    services: Services, images: Sequence[bytes], runtime: Runtime, *, keep_images: bool
) -> list[PreprocessedImage]:
    def prepare_one(index: int, data: bytes) -> PreprocessedImage:
        try:
            return prepare(data, runtime.spec, services.limits, keep_image=keep_images)
        except ImageError as error:
            error.index = index
            raise

    return await asyncio.gather(*(services.decoding.run(prepare_one, i, data) for i, data in enumerate(images)))


def _timed_infer(
    timing: Timing, runtime: Runtime, prepared: list[PreprocessedImage], settings: DetectSettings, services: Services
) -> list[Detections]:
    with timing.stage("inference"):
        return infer(runtime, prepared, settings, services.settings.max_batch)

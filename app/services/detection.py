"""One detection request: decode and place in parallel, run, bring back; nothing of it on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from yoloscope.app.schemas.detect import DetectOptions
from yoloscope.app.services.container import Services
from yoloscope.app.services.inference import (
    DetectSettings,
    Found,
    Prepared,
    Timing,
    finish,
    infer,
    prepare,
    resolve_classes,
)
from yoloscope.app.services.runtime import Runtime
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

    @classmethod
    def from_options(cls, options: DetectOptions, *, keep_images: bool) -> DetectQuery:
        """Return the query that a request's options ask for."""
        return cls(
            options.model,
            options.score_threshold,
            options.iou_threshold,
            options.max_detections,
            None if options.classes is None else tuple(options.classes),
            keep_images,
        )


@dataclass(frozen=True)
class DetectRun:
    """The answer: the model that gave it under its served name, one ``Found`` per image in order, and the times."""

    model: str
    runtime: Runtime
    results: tuple[Found, ...]
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
    with timing.stage("total"), services.gate.hold(len(images)):
        runtime = services.store.loaded(query.model or services.store.default)
        if runtime is None:
            runtime = await services.decoding.run(services.store.get, query.model)
        settings = settings_for(query, runtime)
        with timing.stage("decode"):
            prepared = await _prepare_all(services, images, runtime, keep_images=query.keep_images)
        with timing.stage("queue"):
            raw = await services.inference.run(_timed_infer, timing, runtime, prepared, settings, services)
        with timing.stage("finish"):
            results = tuple(finish(item, found, settings) for item, found in zip(prepared, raw, strict=True))
    timing.stages["queue"] -= timing.stages["inference"]
    times = {name: timing.stages[name] for name in ("decode", "queue", "inference", "finish", "total")}
    return DetectRun(query.model or services.store.default, runtime, results, times)


async def _prepare_all(
    services: Services, images: Sequence[bytes], runtime: Runtime, *, keep_images: bool
) -> list[Prepared]:
    def prepare_one(index: int, data: bytes) -> Prepared:
        try:
            return prepare(data, runtime.spec, services.limits, keep_image=keep_images)
        except ImageError as error:
            error.index = index
            raise

    return await asyncio.gather(*(services.decoding.run(prepare_one, i, data) for i, data in enumerate(images)))


def _timed_infer(
    timing: Timing, runtime: Runtime, prepared: list[Prepared], settings: DetectSettings, services: Services
) -> list[Detections]:
    with timing.stage("inference"):
        return infer(runtime, prepared, settings, services.settings.max_batch)

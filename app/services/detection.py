"""One detection request: decode and place in parallel, run, bring back; nothing of it on the event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from yoloscope.app.services.inference import (
    DetectSettings,
    EncodedImage,
    ImageDetections,
    PreprocessedImage,
    Timing,
    infer,
    postprocess,
    prepare_all,
    prepare_upload,
)
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.state import Services
from yoloscope.models.detections import Detections
from yoloscope.models.spec import DetectorSpec

_MOST_THREADS_BY_IMAGE: Final = 2
"""Two images at once have one thread each: with more, some would have nothing to do while others decode."""


@dataclass(frozen=True)
class DetectQuery:
    """Images of a detection request with its model (None: the default) and settings (``settings_for`` a spec)."""

    images: Sequence[EncodedImage]
    model: str | None
    settings_for: Callable[[DetectorSpec], DetectSettings]


@dataclass(frozen=True)
class DetectRun:
    """Detections of all images in order, with the model, its name in the service and the times."""

    model: str
    runtime: Runtime
    results: tuple[ImageDetections, ...]
    timing: Timing


async def detect(services: Services, query: DetectQuery, timing: Timing) -> DetectRun:
    """Detect in every image.

    Requests take turns in the threads image by image, so that a long one does not hold up others; on a GPU the images
    of all that wait go together. ``timing`` gets ``decode`` (bytes to network input), ``queue`` (waiting for the
    network), ``inference`` and ``finish``. Raises BusyError, DeadlineError, ModelNotFoundError, RequestError or the
    ImageError of an image.
    """
    model = query.model or services.store.default
    with services.admit(len(query.images)):
        runtime = await services.model(query.model)
        with services.metrics.request(model):
            return await _detect(services, query, runtime, model, timing)


async def _detect(services: Services, query: DetectQuery, runtime: Runtime, model: str, timing: Timing) -> DetectRun:
    settings = query.settings_for(runtime.spec)
    by_image = runtime.provider == "cpu" and services.settings.threads <= _MOST_THREADS_BY_IMAGE
    way = _detect_by_image if by_image else _detect_by_stage
    results = await way(services, query.images, settings, runtime, model, timing)
    services.metrics.staged(model, timing.stages)
    services.metrics.detections.labels(model).inc(sum(len(found.detections) for found in results))
    return DetectRun(model, runtime, results, timing)


async def _detect_by_image(
    services: Services,
    images: Sequence[EncodedImage],
    settings: DetectSettings,
    runtime: Runtime,
    model: str,
    timing: Timing,
) -> tuple[ImageDetections, ...]:
    """Take each image from its bytes to its detections in one thread, so that it stays in the cache of one core."""

    def detect_one(batch: list[EncodedImage]) -> list[tuple[ImageDetections, Timing]]:
        (image,), own = batch, Timing()
        with own.stage("decode"):
            prepared = prepare_upload(image, runtime.spec, services.limits)
        with own.stage("inference"):
            (found,) = infer(runtime, [prepared], [settings], half=services.limiter.held > 1)
        services.metrics.executed(model, 1)
        with own.stage("finish"):
            return [(postprocess(prepared, found, settings), own)]

    done = await services.inference.map(detect_one, images, (runtime, "by image"), half=runtime.takes_half)
    timing.stages |= {"decode": 0.0, "queue": done.waited_s * 1e3}
    for _, own in done.results:
        timing.add(own)
    return tuple(found for found, _ in done.results)


async def _detect_by_stage(
    services: Services,
    images: Sequence[EncodedImage],
    settings: DetectSettings,
    runtime: Runtime,
    model: str,
    timing: Timing,
) -> tuple[ImageDetections, ...]:
    """Decode in threads of its own what the device then runs, in batches with the images of other requests."""

    def infer_batch(batch: list[tuple[PreprocessedImage, DetectSettings]]) -> list[Detections]:
        placed, options = zip(*batch, strict=True)
        found = infer(runtime, placed, options, half=services.limiter.held > 1)
        services.metrics.executed(model, len(batch))
        return found

    with timing.stage("decode"):
        prepared = await prepare_all(services, images, runtime.spec)
    sizes = runtime.batch_sizes(services.settings.max_batch, settings.score_threshold)
    items = [(image, settings) for image in prepared]
    done = await services.inference.map(infer_batch, items, (runtime, "detect", sizes), sizes, half=runtime.takes_half)
    timing.stages |= {"queue": done.waited_s * 1e3, "inference": done.ran_s * 1e3}
    with timing.stage("finish"):
        return tuple(postprocess(item, found, settings) for item, found in zip(prepared, done.results, strict=True))

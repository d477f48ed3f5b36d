"""One detection request: decode and place in parallel, run, bring back; nothing of it on the event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from yoloscope.app.services.inference import (
    DetectSettings,
    EncodedImage,
    ImageDetections,
    PreprocessedImage,
    Timing,
    infer,
    postprocess,
    prepare_all,
)
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.state import Services
from yoloscope.models.detections import Detections
from yoloscope.models.spec import DetectorSpec


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
    with timing.stage("decode"):
        prepared = await prepare_all(services, query.images, runtime.spec)
    raw = await _infer_all(services, prepared, settings, runtime, model, timing)
    with timing.stage("finish"):
        results = tuple(postprocess(item, found, settings) for item, found in zip(prepared, raw, strict=True))
    services.metrics.staged(model, timing.stages)
    services.metrics.detections.labels(model).inc(sum(len(found.detections) for found in results))
    return DetectRun(model, runtime, results, timing)


async def _infer_all(
    services: Services,
    prepared: Sequence[PreprocessedImage],
    settings: DetectSettings,
    runtime: Runtime,
    model: str,
    timing: Timing,
) -> list[Detections]:
    def infer_batch(batch: list[tuple[PreprocessedImage, DetectSettings]]) -> list[Detections]:
        images, options = zip(*batch, strict=True)
        found = infer(runtime, images, options)
        services.metrics.executed(model, len(batch))
        return found

    sizes = runtime.batch_sizes(services.settings.max_batch, settings.score_threshold)
    with timing.stage("queue"):
        items = [(image, settings) for image in prepared]
        found = await services.inference.map(
            infer_batch, items, (runtime, "detect", sizes), sizes, half=runtime.takes_half
        )
    timing.stages["inference"] = found.ran_s * 1e3
    timing.subtract("queue", "inference")
    return found.results

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
"""With more, half of them would have nothing to do while an image is decoded."""


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
            work = _Work(services, runtime, model, query.images, query.settings_for(runtime.spec), timing)
            by_image = runtime.provider == "cpu" and services.settings.threads <= _MOST_THREADS_BY_IMAGE
            results = await (work.by_image() if by_image else work.by_stage())
            services.metrics.staged(model, timing.stages)
            services.metrics.detections.labels(model).inc(sum(len(found.detections) for found in results))
            return DetectRun(model, runtime, results, timing)


@dataclass(frozen=True)
class _Work:
    """The images of one admitted request with what runs them, in one of two ways; both fill in ``timing``."""

    services: Services
    runtime: Runtime
    model: str
    images: Sequence[EncodedImage]
    settings: DetectSettings
    timing: Timing

    async def by_image(self) -> tuple[ImageDetections, ...]:
        """Take each image from its bytes to its detections in one thread, so that it stays in the cache of one core."""
        key, at_once = (self.runtime, "by image"), self.runtime.images_at_once
        done = await self.services.inference.map(self._detect_one, self.images, key, at_once=at_once)
        self.timing.stages |= {"decode": 0.0, "queue": done.waited_s * 1e3}
        for _, own in done.results:
            self.timing.add(own)
        return tuple(found for found, _ in done.results)

    def _detect_one(self, batch: list[EncodedImage]) -> list[tuple[ImageDetections, Timing]]:
        (image,), own = batch, Timing()
        with own.stage("decode"):
            prepared = prepare_upload(image, self.runtime.spec, self.services.limits)
        with own.stage("inference"):
            (found,) = self._infer([prepared], [self.settings])
        with own.stage("finish"):
            return [(postprocess(prepared, found, self.settings), own)]

    async def by_stage(self) -> tuple[ImageDetections, ...]:
        """Decode in threads of its own what the device then runs, in batches with the images of other requests."""
        runtime, settings = self.runtime, self.settings

        def infer_batch(batch: list[tuple[PreprocessedImage, DetectSettings]]) -> list[Detections]:
            placed, options = zip(*batch, strict=True)
            return self._infer(placed, options)

        with self.timing.stage("decode"):
            prepared = await prepare_all(self.services, self.images, runtime.spec)
        sizes = runtime.batch_sizes(self.services.settings.max_batch, settings.score_threshold)
        items = [(image, settings) for image in prepared]
        key = (runtime, "detect", sizes)
        done = await self.services.inference.map(infer_batch, items, key, sizes, at_once=runtime.at_once)
        self.timing.stages |= {"queue": done.waited_s * 1e3, "inference": done.ran_s * 1e3}
        with self.timing.stage("finish"):
            return tuple(postprocess(item, found, settings) for item, found in zip(prepared, done.results, strict=True))

    def _infer(self, prepared: Sequence[PreprocessedImage], settings: Sequence[DetectSettings]) -> list[Detections]:
        """Run one batch, in half of the threads if there is another image at work."""
        found = infer(self.runtime, prepared, settings, half=self.services.limiter.held > 1)
        self.services.metrics.executed(self.model, len(prepared))
        return found

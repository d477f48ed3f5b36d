"""Inference on images: decode, preprocess, run and postprocess, for the service and the commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.detections import Detections
from yoloscope.models.errors import ImageError, ImageTypeError, RequestError
from yoloscope.models.images import DecodedImage, ImageLimits, decode_image, decode_samples
from yoloscope.models.preprocess import grid_of, preprocess, preprocess_samples

if TYPE_CHECKING:
    from yoloscope.app.services.runtime import Runtime
    from yoloscope.app.services.state import Services
    from yoloscope.models.preprocess import Placement
    from yoloscope.models.spec import DetectorSpec


_SHOWN_CLASSES: Final = 100
_IMAGE_FILE_PLANES: Final = 3


@dataclass(frozen=True)
class EncodedImage:
    """The bytes of an image and their place in the request as a JSON pointer, empty for the whole body."""

    data: bytes
    pointer: str = ""


@dataclass(frozen=True)
class DetectSettings:
    """Options of detection resolved for one model; ``class_ids`` None means all classes."""

    score_threshold: float
    iou_threshold: float
    max_detections: int = 300
    class_ids: frozenset[int] | None = None

    @classmethod
    def for_model(
        cls,
        spec: DetectorSpec,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        max_detections: int = 300,
        classes: Sequence[str | int] | None = None,
    ) -> DetectSettings:
        """Fill in the model's own thresholds and resolve classes; raises RequestError for classes that it lacks."""
        return cls(
            spec.nms.score_threshold if score_threshold is None else score_threshold,
            spec.nms.iou_threshold if iou_threshold is None else iou_threshold,
            max_detections,
            None if classes is None else resolve_classes(classes, spec.class_names),
        )


@dataclass(frozen=True)
class PreprocessedImage:
    """One image ready for the network."""

    placed: NDArray[np.float32]
    placement: Placement
    width: int
    height: int


@dataclass(frozen=True)
class ImageDetections:
    """The detections of one image in its pixels; ``truncated``: ``max_detections`` cut some off."""

    width: int
    height: int
    detections: Detections
    truncated: bool


@dataclass
class Timing:
    """Milliseconds spent per stage, summed over the images of one request that came at ``started_at``."""

    started_at: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        start = time.perf_counter()
        self.stages.setdefault(name, 0.0)
        try:
            yield
        finally:
            self.stages[name] += (time.perf_counter() - start) * 1e3

    def add(self, other: Timing) -> None:
        """Add the stages of a part of the request."""
        for name, took_ms in other.stages.items():
            self.stages[name] = self.stages.get(name, 0.0) + took_ms

    def subtract(self, name: str, *others: str) -> None:
        """Take the times of stages out of the time of one that contains them."""
        self.stages[name] -= sum(self.stages.get(other, 0.0) for other in others)

    def milliseconds(self) -> dict[str, float]:
        """Return the stages, and in ``total`` all that has passed until now."""
        return {**self.stages, "total": (time.perf_counter() - self.started_at) * 1e3}


def prepare(data: bytes, spec: DetectorSpec, limits: ImageLimits) -> PreprocessedImage:
    """Decode an image and place it on the network's input, which takes few of the pixels of a large image.

    Raises as ``decode_image`` and ``prepare_decoded`` do.
    """
    if spec.image_planes != _IMAGE_FILE_PLANES:
        return prepare_decoded(decode_image(data, limits), spec)
    image = decode_samples(data, limits, partial(grid_of, spec=spec))
    placed, placement = preprocess_samples(image.pixels, image.grid, image.width, image.height, spec)
    return PreprocessedImage(placed, placement, image.width, image.height)


def prepare_decoded(image: DecodedImage, spec: DetectorSpec) -> PreprocessedImage:
    """Place a decoded image on the network's input; raises ImageTypeError for one of another number of planes."""
    planes, got = spec.image_planes, image.pixels.shape[2]
    if planes != got:
        raise ImageTypeError(
            f"expected an image of {planes} planes, got one of {got}, as all image files have: POST the planes as the "
            f"tensor images [B, {spec.input_height}, {spec.input_width}, {planes}] to /v2/models/NAME/infer, or "
            "pass an array [H, W, planes] in Python"
        )
    placed, placement = preprocess(image.pixels, spec)
    return PreprocessedImage(placed, placement, image.width, image.height)


def prepare_upload(image: EncodedImage, spec: DetectorSpec, limits: ImageLimits) -> PreprocessedImage:
    """Prepare one image of a request; an ImageError points at it."""
    try:
        return prepare(image.data, spec, limits)
    except ImageError as error:
        error.pointer = image.pointer
        raise


async def prepare_all(
    services: Services, images: Sequence[EncodedImage], spec: DetectorSpec
) -> list[PreprocessedImage]:
    """Prepare the images of one request in the decoding threads.

    No more are in the queue at once than there are threads, so that another request waits for one image of each, not
    for all.
    """
    turns = asyncio.Semaphore(services.settings.threads)

    async def in_turn(image: EncodedImage) -> PreprocessedImage:
        async with turns:
            return await services.decoding.run(prepare_upload, image, spec, services.limits)

    tasks = [asyncio.create_task(in_turn(image)) for image in images]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def infer(
    runtime: Runtime, prepared: Sequence[PreprocessedImage], settings: Sequence[DetectSettings], *, half: bool = False
) -> list[Detections]:
    """Run the network over prepared images as one batch, each with its own thresholds; boxes in network pixels.

    ``half`` is that of ``Runtime.detect``.
    """
    batch = np.stack([item.placed for item in prepared])
    score_thresholds = [options.score_threshold for options in settings]
    return runtime.detect(batch, score_thresholds, [options.iou_threshold for options in settings], half=half)


def postprocess(prepared: PreprocessedImage, raw: Detections, settings: DetectSettings) -> ImageDetections:
    """Bring boxes into the image's pixels (nothing is clipped), keep the asked classes and the best rows."""
    boxes = prepared.placement.invert(raw.boxes_xyxy).astype(np.float32, copy=False)
    detections = Detections(boxes, raw.scores, raw.class_ids)
    if settings.class_ids is not None:
        detections = detections.select(np.isin(detections.class_ids, sorted(settings.class_ids)))
    cut = detections.select(slice(settings.max_detections))
    return ImageDetections(prepared.width, prepared.height, cut, len(detections) > len(cut))


def resolve_classes(classes: Sequence[str | int], class_names: Sequence[str]) -> frozenset[int]:
    """Return the ids of classes given by name or id; raises RequestError naming all that the model does not have.

    A text that is not a name but all digits is an id.
    """
    ids = {name: index for index, name in reversed(list(enumerate(class_names)))}
    found: set[int] = set()
    unknown: list[str] = []
    first = None
    for position, item in enumerate(classes):
        index = ids.get(item) if isinstance(item, str) else item
        if index is None and isinstance(item, str) and item.isascii() and item.isdigit():
            index = int(item[:9])
        if index is None or not 0 <= index < len(class_names):
            unknown.append(repr(item))
            first = position if first is None else first
        else:
            found.add(index)
    if unknown:
        more = f" and {len(class_names) - _SHOWN_CLASSES} more" if len(class_names) > _SHOWN_CLASSES else ""
        names = ", ".join(class_names[:_SHOWN_CLASSES]) + more
        raise RequestError(
            f"expected names or ids (0..{len(class_names) - 1}) of the model's classes, got {', '.join(unknown)}; "
            f"they are {names}",
            f"/classes/{first}",
        )
    return frozenset(found)

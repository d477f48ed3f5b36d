"""One scoring request: images and labels in, loss reports out; nothing of it on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yoloscope.app.services.inference import EncodedImage, PreprocessedImage, Timing, prepare_all
from yoloscope.app.services.kept_heads import KeptHeads
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.state import Services
from yoloscope.app.services.torch_import import import_torch
from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import LabelError, LabelProblem
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.annotations import (
    ImageLabels,
    LabelContext,
    LabelLimits,
    LabelsFormat,
    valid_labels,
)
from yoloscope.training.losses.names import Detail

if TYPE_CHECKING:
    from yoloscope.app.services.image_scores import Scored

MAX_LABEL_BYTES = 8 * 2**20
"""Of one label file in a request; parsed, it may take thirty times as much memory."""


@dataclass(frozen=True)
class LabeledUpload:
    """An image and its label file, both still encoded; ``file_name`` chooses among the images of a COCO file.

    With ``image_id`` the image is one whose heads are kept, and the bytes of ``image`` are not looked at.
    """

    image: EncodedImage
    labels: bytes
    file_name: str | None = None
    image_id: str | None = None


@dataclass(frozen=True)
class ScoreQuery:
    """Options of scoring: a model's name (None for the default), a preset (None for the model's own)."""

    model: str | None = None
    preset: str | None = None
    detail: Detail = "objects"
    labels_format: LabelsFormat = "auto"
    keep: bool = False


@dataclass(frozen=True)
class ScoreRun:
    """The answer: the model that gave it under its served name, one ``Scored`` per image in order, and the times."""

    model: str
    runtime: Runtime
    results: tuple[Scored, ...]
    timing: Timing


async def score(
    services: Services, pairs: Sequence[LabeledUpload], query: ScoreQuery, timing: Timing, owner: bytes | None = None
) -> ScoreRun:
    """Score the labels of every image with the loss of the model's own head outputs.

    Images take their turns in the inference thread one by one, so that a long request does not hold up others; those
    whose heads are kept need none. ``owner`` is the digest of the API key, to which kept heads belong.

    ``timing`` gets ``decode`` (bytes to network input, and the labels), ``queue``, ``inference`` and ``score``. Raises
    BusyError, DeadlineError, ModelNotFoundError, PresetError, ImageNotKeptError, the ImageError of an image, or one
    LabelError that names all that is wrong in all label files.
    """
    model = query.model or services.store.default
    with services.admit(len(pairs)):
        runtime = await services.model(query.model)
        await asyncio.to_thread(_require_preset, query.preset, runtime.spec)
        with timing.stage("decode"):
            sources = await _sources(services, pairs, runtime, owner)
            labels = await services.decoding.run(
                _read_all,
                [source.pair for source in sources],
                [source.prepared for source in sources],
                runtime.spec,
                query,
                _label_limits(services),
            )
        results: list[Scored] = []
        for source, truth in zip(sources, labels, strict=True):
            threads = services.inference if source.heads is None else services.decoding
            with timing.stage("queue"):
                run = await threads.run(_run_one, timing, runtime, source, truth, query)
            results.append(run.scored)
            if source.heads is None:
                services.metrics.executed(model, 1)
                if query.keep:
                    heads = KeptHeads.of(run.heads, source.prepared, source.pair.file_name, runtime.sha256, owner)
                    results[-1] = replace(run.scored, image_id=services.kept_heads.keep(heads))
    timing.subtract("queue", "inference", "score")
    services.metrics.staged(model, timing.stages)
    return ScoreRun(model, runtime, tuple(results), timing)


@dataclass(frozen=True)
class _Source:
    """A pair with its image prepared; ``heads`` are those that were kept of it."""

    pair: LabeledUpload
    prepared: PreprocessedImage
    heads: tuple[NDArray[np.float32], ...] | None = None


@dataclass(frozen=True)
class _Run:
    scored: Scored
    heads: Sequence[NDArray[np.float32]]


async def _sources(
    services: Services, pairs: Sequence[LabeledUpload], runtime: Runtime, owner: bytes | None
) -> list[_Source]:
    """Return the pairs with their images prepared, or with what was kept of them."""
    found = [_find_kept(services, pair, runtime, owner) for pair in pairs]
    images = [pair.image for pair in pairs if pair.image_id is None]
    prepared = iter(await prepare_all(services, images, runtime.spec))
    return [kept or _Source(pair, next(prepared)) for pair, kept in zip(pairs, found, strict=True)]


def _find_kept(services: Services, pair: LabeledUpload, runtime: Runtime, owner: bytes | None) -> _Source | None:
    if pair.image_id is None:
        return None
    kept = services.kept_heads.find(pair.image_id, runtime.sha256, owner, pair.image.pointer)
    return _Source(replace(pair, file_name=kept.file_name), kept.prepared, kept.heads)


def read_labels(
    pair: LabeledUpload,
    prepared: PreprocessedImage,
    spec: DetectorSpec,
    labels_format: LabelsFormat,
    limits: LabelLimits,
    yolo_names: tuple[str, ...] | None = None,
) -> ImageLabels:
    """Return the labels of a prepared image; raises LabelError naming all that is wrong.

    ``yolo_names`` are what the class ids of YOLO text stand for; None: the model's classes.
    """
    classes = ClassIndex(spec.class_names)
    context = LabelContext(classes, prepared.width, prepared.height, pair.file_name, yolo_names=yolo_names)
    return valid_labels(pair.labels, context, label_format=labels_format, limits=limits)


def _require_preset(preset: str | None, spec: DetectorSpec) -> None:
    """Raise PresetError for a loss that is not there; the first call imports PyTorch, before any image waits for it."""
    import_torch()
    from yoloscope.training.losses.compute import get_preset  # noqa: PLC0415 - a service that only detects does without

    get_preset(preset, spec)


def _label_limits(services: Services) -> LabelLimits:
    return LabelLimits(min(services.limits.max_bytes, MAX_LABEL_BYTES))


def _read_all(
    pairs: Sequence[LabeledUpload],
    prepared: Sequence[PreprocessedImage],
    spec: DetectorSpec,
    query: ScoreQuery,
    limits: LabelLimits,
) -> list[ImageLabels]:
    labels: list[ImageLabels] = []
    problems: list[LabelProblem] = []
    messages: list[str] = []
    for index, (pair, item) in enumerate(zip(pairs, prepared, strict=True)):
        try:
            labels.append(read_labels(pair, item, spec, query.labels_format, limits))
        except LabelError as error:
            problems += [LabelProblem(f"/labels/{index}{p.pointer}", p.detail) for p in error.problems]
            messages.append(f"labels {index}: {error}")
    if messages:
        raise LabelError("; ".join(messages[:5]), tuple(problems))
    return labels


def _run_one(timing: Timing, runtime: Runtime, source: _Source, labels: ImageLabels, query: ScoreQuery) -> _Run:
    from yoloscope.app.services.image_scores import score_heads  # noqa: PLC0415 - PyTorch, imported by now

    heads: Sequence[NDArray[np.float32]]
    if source.heads is None:
        with timing.stage("inference"):
            heads = runtime.heads(source.prepared.placed[None])
    else:
        heads = source.heads
    with timing.stage("score"):
        scored = score_heads(heads, source.prepared, labels, runtime.spec, query)
    return _Run(replace(scored, image_id=source.pair.image_id), heads)

"""Runtime of one artifact in onnxruntime: detections and raw heads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from yoloscope.app.services.sessions import CUDA_OPTIONS, Feeds, Provider, open_sessions
from yoloscope.models.detections import Detections
from yoloscope.models.errors import ModelLoadError, ModelNotFoundError, SpecError
from yoloscope.models.files import file_signature, sha256
from yoloscope.models.session import FRACTION_STEPS, fraction_input
from yoloscope.models.spec import METADATA_KEY, DetectorSpec

if TYPE_CHECKING:
    from yoloscope.app.services.device_pipeline import DevicePipeline

Images: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]

_INPUTS: Final = {"images", "score_threshold", "iou_threshold"}
_DETECTION_OUTPUTS: Final = ("num_detections", "boxes", "scores", "class_ids")
_ATTEMPTS: Final = 3
_CHANGED: Final = "its file changes while it is read"
LEAST_SCORE_IN_BATCHES: Final = 0.01
"""Images with a lower threshold run alone: a batch has ``spec.nms.max_candidates`` together, and they may need all."""

logger = logging.getLogger(__name__)


class VariantDetector(Protocol):
    """A faster variant of an artifact, which detects in its place."""

    @property
    def spec(self) -> DetectorSpec:
        """The artifact's description."""
        ...

    @property
    def images_at_once(self) -> int:
        """Images that are worth being at work at once, from their bytes to their detections."""
        ...

    def detect(
        self, images: Images, score_threshold: Sequence[float], iou_threshold: Sequence[float], *, half: bool = False
    ) -> list[Detections]:
        """Return detections as ``Runtime.detect`` does."""
        ...


class Runtime:
    """An artifact with its spec and the sessions that run it; calls may come from any thread.

    Where ``variant`` is set it detects, until it fails once; ``heads`` and ``outputs`` are always the artifact's own.
    ``pipeline``, on CUDA where PyTorch has it too, leaves heads on the device. ``provider`` is that of
    ``open_sessions``, as an attribute the one at work; ``at_once`` is that of ``CpuSessions``. Raises
    ModelNotFoundError, ModelLoadError, ProviderError.
    """

    def __init__(self, path: Path, provider: Provider = "auto", threads: int = 0) -> None:
        if not path.is_file():
            raise ModelNotFoundError(f"expected a model file at {path}, got none")
        self.path = path
        for _ in range(_ATTEMPTS):
            self._signature = file_signature(path)
            self._open(path, provider, threads)
            if self._is_as_it_was():
                break
        else:
            raise ModelLoadError(f"expected a model that stays as it is while it is read, got {path}", _CHANGED)

    def _open(self, path: Path, provider: Provider, threads: int) -> None:
        """Open a file by its name, several times: for its digest and for each session."""
        self.sha256 = sha256(path)
        self._sessions = open_sessions(path, provider, threads)
        self.provider = self._sessions.provider
        self.at_once = self._sessions.at_once
        session = self._sessions.session
        self.spec = _read_spec(session, path)
        self._head_outputs = [f"head_{index}" for index in range(len(self.spec.heads))]
        _check_graph(session, self._head_outputs, path)
        self._fraction_input = fraction_input(session)
        self.variant: VariantDetector | None = None
        self.pipeline = self._open_pipeline(threads) if self.provider == "cuda" else None

    def batch_sizes(self, max_batch: int, least_score: float = 1.0) -> tuple[int, ...]:
        """Return the sizes that a batch may have, which are those to warm up: 1, 2, 4 ... ``max_batch``.

        1 alone on the CPU, where a batch gains no time, and for images whose ``least_score`` threshold is too low to
        share the candidates of a batch. On a GPU the first batch of a size takes far longer than others.
        """
        if self.provider == "cpu" or least_score < LEAST_SCORE_IN_BATCHES:
            return (1,)
        return (*(2**power for power in range(max_batch.bit_length()) if 2**power < max_batch), max_batch)

    @property
    def images_at_once(self) -> int:
        """Images that are worth being at work at once, from their bytes to their detections."""
        variant = self.variant
        return self.at_once if variant is None else variant.images_at_once

    @property
    def version(self) -> str:
        """The first 12 digits of the artifact's sha256."""
        return self.sha256[:12]

    def detect(
        self, images: Images, score_threshold: Sequence[float], iou_threshold: Sequence[float], *, half: bool = False
    ) -> list[Detections]:
        """Return the detections of placed images [B, H, W, 3], thresholds per image; boxes in network pixels.

        ``images`` holds levels 0..255, uint8 or float32; of floats, 256ths are kept where the artifact takes them.
        ``half`` runs in half of the threads, where that is open, for another run is at work beside or comes soon.
        """
        self._check_shape(images)
        variant = self.variant
        if variant is not None:
            try:
                return variant.detect(images, score_threshold, iou_threshold, half=half)
            except Exception:
                logger.exception("a variant of %s failed: from now on it detects in fp32", self.path)
                self.variant = None
        feeds = self._image_feeds(images)
        if self.pipeline is not None:
            fraction = feeds.get(self._fraction_input or "")
            return self.pipeline.detect(feeds["images"], fraction, score_threshold, iou_threshold)
        feeds["score_threshold"] = np.asarray(score_threshold, np.float32)
        feeds["iou_threshold"] = np.asarray(iou_threshold, np.float32)
        counts, boxes, scores, class_ids = self._sessions.run(list(_DETECTION_OUTPUTS), feeds, half=half)
        return [
            Detections(boxes[row, :count], scores[row, :count], class_ids[row, :count])
            for row, count in enumerate(int(count) for count in counts)
        ]

    def heads(self, images: Images) -> tuple[NDArray[np.float32], ...]:
        """Return the raw heads of placed images [B, H, W, 3], as ``detect`` takes them.

        onnxruntime runs the whole graph whatever is fetched (RunOptions.only_execute_path_to_fetches changes nothing
        in 1.31), so no score is let through: decoding and suppression then have next to nothing to do.
        """
        self._check_shape(images)
        feeds = self._image_feeds(images)
        if self.pipeline is not None:
            return self.pipeline.heads(feeds["images"], feeds.get(self._fraction_input or ""))
        feeds["score_threshold"] = np.full(len(images), np.inf, np.float32)
        feeds["iou_threshold"] = np.ones(len(images), np.float32)
        return tuple(self._sessions.run(self._head_outputs, feeds))

    def outputs(
        self,
        names: Sequence[str],
        images: NDArray[np.uint8],
        score_threshold: NDArray[np.float32],
        iou_threshold: NDArray[np.float32],
        *,
        half: bool = False,
    ) -> dict[str, NDArray[Any]]:
        """Return outputs of the artifact by name, as they are: ``num_detections`` counts the valid rows of others.

        ``half`` is that of ``detect``.
        """
        self._check_shape(images)
        feeds: Feeds = {"images": images, "score_threshold": score_threshold, "iou_threshold": iou_threshold}
        return dict(zip(names, self._sessions.run(list(names), feeds, half=half), strict=True))

    def warm_up(self, sizes: Sequence[int] = (1,)) -> None:
        """Run once per size of batch on gray images, so that no request pays for initialization.

        On a GPU scores are let through from ``LEAST_SCORE_IN_BATCHES``, so that suppression has work and its blocks in
        the memory arena.
        """
        shape = (self.spec.input_height, self.spec.input_width, self.spec.image_planes)
        score_threshold = self.spec.nms.score_threshold if self.provider == "cpu" else LEAST_SCORE_IN_BATCHES
        if self.pipeline is not None:
            self.pipeline.warm_up(sizes)
        for size in sizes:
            images = np.full((size, *shape), 127.5, np.float32)
            self.detect(images, [score_threshold] * size, [self.spec.nms.iou_threshold] * size)

    def open_half(self) -> None:
        """Open what runs with ``half`` need; others may call ``detect`` meanwhile.

        Raises ModelLoadError where the file is another one by now.
        """
        shape = (1, self.spec.input_height, self.spec.input_width, self.spec.image_planes)
        once = np.ones(1, np.float32)
        feeds: Feeds = {"images": np.zeros(shape, np.uint8), "score_threshold": once, "iou_threshold": once}
        self._sessions.open_half(feeds, self._is_as_it_was)

    def _is_as_it_was(self) -> bool:
        return file_signature(self.path) == self._signature

    def _open_pipeline(self, threads: int) -> DevicePipeline | None:
        """Return what keeps heads on the device, where PyTorch has CUDA too; without, the graph of the file runs."""
        import torch  # noqa: PLC0415 - a service on a CPU does without

        from yoloscope.app.services.device_pipeline import DevicePipeline  # noqa: PLC0415
        from yoloscope.models.dense_detect import can_be_dense  # noqa: PLC0415

        if not torch.cuda.is_available() or not can_be_dense(self.spec):
            return None
        return DevicePipeline(self.path, self.spec, "cuda", CUDA_OPTIONS, threads)

    def _image_feeds(self, images: Images) -> Feeds:
        """Return levels as whole ones and, where they have any and the artifact takes them, 256ths of a level."""
        if images.dtype == np.uint8:
            return {"images": images}
        if self._fraction_input is None:
            return {"images": np.clip(np.floor(images + 0.5), 0, 255).astype(np.uint8)}
        steps = (images * FRACTION_STEPS + 0.5).astype(np.uint16)
        return {"images": (steps >> 8).astype(np.uint8), self._fraction_input: steps.astype(np.uint8)}

    def _check_shape(self, images: Images) -> None:
        expected = (self.spec.input_height, self.spec.input_width, self.spec.image_planes)
        if images.shape[1:] != expected:
            raise SpecError(f"expected images of shape [B, {expected}], got {images.shape}")


def _read_spec(session: onnxruntime.InferenceSession, path: Path) -> DetectorSpec:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelLoadError(
            f"expected the metadata {METADATA_KEY!r} in {path}, got a model without: not an artifact",
            "its file is an ONNX model without the metadata of an artifact",
        )
    try:
        return DetectorSpec.from_json(text)
    except SpecError as error:
        raise ModelLoadError(
            f"expected a readable detector spec in {path}, got: {error}",
            "the detector spec in its file is not readable",
        ) from error


def _check_graph(session: onnxruntime.InferenceSession, head_outputs: list[str], path: Path) -> None:
    inputs = {value.name for value in session.get_inputs()}
    missing = {*_DETECTION_OUTPUTS, *head_outputs} - {value.name for value in session.get_outputs()}
    if inputs != _INPUTS or missing:
        raise ModelLoadError(
            f"expected the inputs {sorted(_INPUTS)} and all outputs in {path}, "
            f"got the inputs {sorted(inputs)} and no {sorted(missing)}",
            "its file has not the inputs and outputs of an artifact",
        )

"""Detection without a detour over the host: the network in onnxruntime, the rest as a CUDA graph on its outputs.

The graph inside an artifact has shapes that depend on what is found, so that CUDA waits for the host at every step of
suppression. Here the raw heads stay on the device and ``dense_detect`` takes them there, as one launch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

from yoloscope.models.dense_detect import dense_detect
from yoloscope.models.detections import Detections
from yoloscope.models.detector import detect
from yoloscope.models.session import CPU, CUDA, fraction_input, open_session
from yoloscope.models.spec import DetectorSpec

ROWS: Final = (256, 1024)
"""Candidates an image for which there is room, tried in turn; beyond the last, ``detect`` takes the heads."""
_MAX_BATCH: Final = 64

Thresholds: TypeAlias = Sequence[float]
Pixels: TypeAlias = NDArray[np.uint8]


class DevicePipeline:
    """An artifact's network with decoding and suppression behind it, all on one device; one run at a time.

    Batches run in sizes that are powers of two, each with memory of its own that is taken at the first batch of the
    size. ``provider_options`` are those of onnxruntime's CUDA provider.
    """

    def __init__(
        self,
        path: Path,
        spec: DetectorSpec,
        device: str = "cuda",
        provider_options: dict[str, str] | None = None,
        threads: int = 0,
    ) -> None:
        self._spec = spec
        self._device = torch.device(device)
        self._stream = torch.cuda.Stream() if device == "cuda" else None  # type: ignore[no-untyped-call]
        providers: list[Any] = [*CPU]
        if self._stream is not None:
            stream = {"user_compute_stream": str(self._stream.cuda_stream)}
            providers = [(CUDA, {**(provider_options or {}), **stream}), *CPU]
        self._session = open_session(_network_of(path, spec), providers, threads)
        self._buffers: dict[int, _Buffers] = {}
        self._lock = Lock()

    def detect(
        self, images: Pixels, fraction: Pixels | None, score_threshold: Thresholds, iou_threshold: Thresholds
    ) -> list[Detections]:
        """Return the detections of placed images [B, H, W, P], with 256ths of a level or None; boxes in network pixels.

        They are those of the artifact, but for the rounding of the device.
        """
        found: list[Detections] = []
        for part in _parts(len(images)):
            with self._run(images[part], None if fraction is None else fraction[part]) as buffers:
                buffers.set_thresholds(score_threshold[part], iou_threshold[part])
                found += buffers.detections(len(images[part]))
        return found

    def heads(self, images: Pixels, fraction: Pixels | None) -> tuple[NDArray[np.float32], ...]:
        """Return the raw heads of images, as ``detect`` takes them, on the host."""
        parts = []
        for part in _parts(len(images)):
            with self._run(images[part], None if fraction is None else fraction[part]) as buffers:
                parts.append([head[: len(images[part])].cpu().numpy().copy() for head in buffers.heads])
        return tuple(np.concatenate(heads) for heads in zip(*parts, strict=True))

    def run_network(self, images: Pixels) -> None:
        """Compute the heads of at most 64 images and leave them on the device, for measurements."""
        with self._run(images, None):
            pass

    def detect_again(self, count: int, score_threshold: Thresholds, iou_threshold: Thresholds) -> list[Detections]:
        """Return the detections of the heads that the last batch of ``count`` images left, for measurements."""
        with self._lock, torch.inference_mode(), torch.cuda.stream(self._stream):
            buffers = self._buffers[_size_of(count)]
            buffers.set_thresholds(score_threshold, iou_threshold)
            return buffers.detections(count)

    def warm_up(self, sizes: Sequence[int]) -> None:
        """Take the memory for batches of these sizes, and capture what is replayed."""
        shape = (self._spec.input_height, self._spec.input_width, self._spec.image_planes)
        for size in sizes:
            with self._run(np.full((size, *shape), 127, np.uint8), None) as buffers:
                buffers.set_thresholds([1.0] * size, [1.0] * size)
                buffers.capture()

    @contextmanager
    def _run(self, images: Pixels, fraction: Pixels | None) -> Iterator[_Buffers]:
        """Run the network, and lend the buffers in which its heads are."""
        size = _size_of(len(images))
        with self._lock, torch.inference_mode(), torch.cuda.stream(self._stream):
            if size not in self._buffers:
                self._buffers[size] = _Buffers(self._session, self._spec, size, self._device)
            buffers = self._buffers[size]
            buffers.set_images(images, fraction)
            buffers.run_network()
            yield buffers


def _parts(count: int) -> Iterator[slice]:
    """Yield the parts of ``count`` images that run as one batch each."""
    for start in range(0, count, _MAX_BATCH):
        yield slice(start, start + _MAX_BATCH)


def _size_of(count: int) -> int:
    """Return the least power of two that is not below a count."""
    return 1 << max(count - 1, 0).bit_length()


class _Buffers:
    """Memory on the device for batches of one size, bound to a session, and the steps that are replayed on it."""

    def __init__(
        self, session: onnxruntime.InferenceSession, spec: DetectorSpec, size: int, device: torch.device
    ) -> None:
        self._session, self._spec, self._device = session, spec, device
        shape = (size, spec.input_height, spec.input_width, spec.image_planes)
        self._inputs = {"images": self._zeros(shape, torch.uint8)}
        fraction = fraction_input(session)
        self._fraction = fraction or ""
        if fraction is not None:
            self._inputs[fraction] = self._zeros(shape, torch.uint8)
        self._thresholds = self._zeros((2, size), torch.float32)
        self.heads = tuple(self._zeros(spec.head_shape(index, size), torch.float32) for index in range(len(spec.heads)))
        self._host = {name: torch.zeros_like(value, device="cpu") for name, value in self._inputs.items()}
        if device.type == "cuda":
            self._host = {name: value.pin_memory() for name, value in self._host.items()}
        self._binding = session.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_input(name, device.type, 0, np.uint8, tuple(value.shape), value.data_ptr())
        for index, head in enumerate(self.heads):
            self._binding.bind_output(f"head_{index}", device.type, 0, np.float32, tuple(head.shape), head.data_ptr())
        self._steps: dict[int, Callable[[], tuple[Tensor, Tensor]]] = {}

    def set_images(self, images: Pixels, fraction: Pixels | None) -> None:
        """Copy images to the device; what is left of the batch stays as it was, and is asked for no detection."""
        given = {"images": images}
        if self._fraction:
            given[self._fraction] = np.zeros(1, np.uint8) if fraction is None else fraction
        for name, levels in given.items():
            rows = self._host[name][: len(images)]
            rows.copy_(torch.from_numpy(np.ascontiguousarray(levels)))
            self._inputs[name][: len(images)].copy_(rows, non_blocking=True)

    def set_thresholds(self, score: Thresholds, iou: Thresholds) -> None:
        """Set the thresholds of the images; those that are missing let nothing through."""
        rows = torch.full(self._thresholds.shape, 2.0)
        rows[:, : len(score)] = torch.tensor([list(score), list(iou)], dtype=torch.float32)
        self._thresholds.copy_(rows)

    def run_network(self) -> None:
        """Compute the heads of the images."""
        self._session.run_with_iobinding(self._binding)

    def detections(self, count: int) -> list[Detections]:
        """Return the detections of the first ``count`` images, from as many rows as they need."""
        for rows in ROWS:
            packed, complete = (tensor.cpu().numpy() for tensor in self._step(rows)())
            if complete.all():
                return [_unpacked(image[image[:, 6] > 0]) for image in packed[:count]]
        counts, *columns = (part.cpu().numpy() for part in detect(self.heads, self._spec, *self._thresholds))
        return [Detections(*(column[image, : counts[image]] for column in columns)) for image in range(count)]

    def capture(self) -> None:
        """Make what is replayed, so that no batch waits for it."""
        for rows in ROWS:
            self._step(rows)

    def _step(self, rows: int) -> Callable[[], tuple[Tensor, Tensor]]:
        """Return what makes packed results [B, rows, 7] and whether they are complete [B] of the heads."""
        if rows not in self._steps:
            step = self._dense(rows)
            self._steps[rows] = _captured(step) if self._device.type == "cuda" else step
        return self._steps[rows]

    def _dense(self, rows: int) -> Callable[[], tuple[Tensor, Tensor]]:
        constants = _Constants()

        def step() -> tuple[Tensor, Tensor]:
            with constants:
                score, iou = self._thresholds.unbind(0)
                found = dense_detect(self.heads, self._spec, score, iou, rows=rows)
                columns = (found.scores, found.class_ids, found.keep)
                packed = torch.cat((found.boxes_xyxy_px, *(column[..., None].float() for column in columns)), 2)
                return packed, found.complete

        return step

    def _zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self._device)


class _Constants(TorchFunctionMode):
    """Makes each constant once: nothing may come from the host while a graph is captured."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[str, Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401 - PyTorch's protocol
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func is not torch.tensor:
            return func(*args, **(kwargs or {}))
        key = repr((args, kwargs))
        if key not in self._made:
            self._made[key] = torch.tensor(*args, **(kwargs or {}))
        return self._made[key]


def _captured(step: Callable[[], tuple[Tensor, Tensor]]) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return what replays ``step`` as one CUDA graph; its results stay in the same memory."""
    for _ in range(2):
        step()
    torch.cuda.current_stream().synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
        results = step()

    def replay() -> tuple[Tensor, Tensor]:
        graph.replay()
        return results

    return replay


def _unpacked(rows: NDArray[np.float32]) -> Detections:
    return Detections(rows[:, :4].copy(), rows[:, 4].copy(), rows[:, 5].astype(np.int64))


def _network_of(path: Path, spec: DetectorSpec) -> bytes:
    """Return the part of an artifact from images to raw heads."""
    heads = [f"head_{index}" for index in range(len(spec.heads))]
    part = onnx.utils.Extractor(onnx.load(path)).extract_model(["images"], heads)
    content: bytes = part.SerializeToString()
    return content

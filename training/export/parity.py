"""Whether an artifact in onnxruntime says what its network says in torch.

onnxruntime sessions for measuring, on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from yoloscope.models.detector import DETECTIONS, INPUTS, Detector, detect, find_candidates, scale_pixels
from yoloscope.models.errors import ExportError
from yoloscope.models.layers.xnor import XnorConvBlock
from yoloscope.models.network import eval_mode
from yoloscope.models.spec import DetectorSpec


def open_session(model: onnx.ModelProto, threads: int = 0) -> onnxruntime.InferenceSession:
    """Return a session of a graph in memory whose threads sleep when idle; raise ExportError if it cannot be run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"onnxruntime cannot run the graph: {error}") from error


Array = NDArray[np.float32]
Provider = tuple[str, dict[str, str]]

HEAD_ATOL, HEAD_RTOL = 2e-4, 1e-4
BOX_ATOL_PX, BOX_RTOL = 1e-2, 1e-4
SCORE_ATOL = 1e-5
CPU: tuple[Provider, ...] = (("CPUExecutionProvider", {}),)
SETTINGS = ((8, 0.45), (40, 0.3), (150, 0.6))


@dataclass(frozen=True)
class ParityReport:
    """The worst deviations over all runs.

    ``head_error`` is the largest |torch - onnxruntime| of a raw head value, ``head_magnitude`` the largest head value;
    ``box_error_px`` and ``score_error`` those of ``num_detections`` detections that agree in count, class and image.
    ``is_binary``: the network takes signs (xnor), so that rounding may flip one and heads are not held to a tolerance.
    """

    num_runs: int
    head_error: float
    head_magnitude: float
    num_detections: int
    box_error_px: float
    score_error: float
    is_binary: bool = False

    def __str__(self) -> str:
        remark = "; a binary network, where rounding flips signs" if self.is_binary else ""
        return (
            f"torch against onnxruntime, {self.num_runs} runs: heads within {self.head_error:.1e} (largest value "
            f"{self.head_magnitude:.3g}), {self.num_detections} detections the same, boxes within "
            f"{self.box_error_px:.1e} px, scores within {self.score_error:.1e}{remark}"
        )


@dataclass(frozen=True)
class _Rows:
    """Detections of a batch as flat rows: image and class [n, 2], score [n], box [n, 4]."""

    keys: NDArray[np.int64]
    scores: Array
    boxes: Array


def check_parity(detector: Detector, path: str | Path, providers: Sequence[Provider] = CPU) -> ParityReport:
    """Run noise and shapes, one and three images at a time, through torch and the artifact at ``path``.

    ``providers`` are onnxruntime's, with their options; torch computes on the device of the detector's parameters.

    Heads must agree within 2e-4, or 1e-4 of the largest value if that is more. Detections are compared between the
    artifact and torch's decoding and suppression of the artifact's own heads, at several thresholds: the same images
    and classes, boxes within .01 px (or 1e-4 of their coordinates), scores within 1e-5. Raises ExportError otherwise.
    The heads of a binary network (xnor) need only be finite: two orders of summing flip a sign here and there, and
    every flip moves what follows.
    """
    session = _open(path, providers)
    spec = detector.spec
    is_binary = any(isinstance(module, XnorConvBlock) for module in detector.modules())
    images = list(synthetic_images(spec))
    heads_worst, magnitude, found = 0.0, 0.0, []
    for batch in (np.stack(images[:1]), np.stack(images[1:])):
        expected = _torch_heads(detector, batch)
        for count, iou_threshold in SETTINGS:
            score_threshold = _thresholds(expected, spec, count)
            overlap = np.full(len(batch), iou_threshold, np.float32)
            outputs = session.run(
                [*detector.output_names], dict(zip(INPUTS, (batch, score_threshold, overlap), strict=True))
            )
            heads = tuple(torch.from_numpy(head) for head in outputs[len(DETECTIONS) :])
            error, largest = _compare_heads(heads, expected, math.inf if is_binary else HEAD_ATOL)
            heads_worst, magnitude = max(heads_worst, error), max(magnitude, largest)
            theirs = detect(heads, spec, torch.from_numpy(score_threshold), torch.from_numpy(overlap))
            found.append(_compare_detections(_rows(outputs[: len(DETECTIONS)]), _rows([t.numpy() for t in theirs])))
    counts, boxes, scores = zip(*found, strict=True)
    return ParityReport(len(found), heads_worst, magnitude, sum(counts), max(boxes), max(scores), is_binary)


def _open(path: str | Path, providers: Sequence[Provider]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:
        raise ExportError(f"onnxruntime cannot load the exported graph: {error}") from error


def synthetic_images(spec: DetectorSpec) -> Iterator[NDArray[np.uint8]]:
    """Yield noise, a ramp, rectangles on grey, and noise on a ramp, uint8 [H, W, P] of the network's input."""
    width, height, planes = spec.input_width, spec.input_height, spec.image_planes
    rng = np.random.default_rng(0)
    ramp = np.stack(np.broadcast_arrays(*np.ogrid[0 : 255 : height * 1j, 0 : 255 : width * 1j]), -1)
    ramp = np.concatenate((ramp, 255 - ramp[..., :1]), -1)[..., np.arange(planes) % 3]
    noise = rng.integers(0, 256, (height, width, planes))
    blocks = np.full((height, width, planes), 127)
    for _ in range(12):
        x, y = rng.integers(0, width), rng.integers(0, height)
        blocks[y : y + height // 3, x : x + width // 4] = rng.integers(0, 256, planes)
    for image in (noise, ramp, blocks, (ramp + noise) / 2):
        yield image.astype(np.uint8)


@torch.inference_mode()
def _torch_heads(detector: Detector, batch: NDArray[np.uint8]) -> tuple[Tensor, ...]:
    device = next(iter(detector.parameters()), torch.empty(0)).device
    with eval_mode(detector):
        heads = detector.network(
            scale_pixels(torch.from_numpy(batch).to(device), channels=detector.spec.input_channels)
        )
    return tuple(head.float().cpu() for head in heads)


def _thresholds(heads: tuple[Tensor, ...], spec: DetectorSpec, count: int) -> Array:
    """Return per image a threshold that about ``count`` candidates pass, in the widest gap between scores.

    In a gap no rounding decides who passes.
    """
    batch_size = heads[0].shape[0]
    candidates = find_candidates(heads, spec, torch.zeros(batch_size))
    thresholds = []
    for image in range(batch_size):
        scores = candidates.scores[candidates.image_index == image].double()
        top = scores.topk(min(count + 1, len(scores))).values[count // 2 :]
        if len(top) < 2:
            thresholds.append(spec.nms.score_threshold)
        else:
            widest = int((top[:-1] - top[1:]).argmax())
            thresholds.append(float(top[widest] + top[widest + 1]) / 2)
    return np.array(thresholds, np.float32)


def _compare_heads(
    heads: tuple[Tensor, ...], expected: tuple[Tensor, ...], absolute_tolerance: float
) -> tuple[float, float]:
    """Return the worst error and the largest magnitude; raise ExportError beyond tolerance or what is not finite."""
    errors, magnitudes = [], []
    for index, (got, wanted) in enumerate(zip(heads, expected, strict=True)):
        if got.shape != wanted.shape:
            raise ExportError(f"head_{index}: expected shape {list(wanted.shape)}, got {list(got.shape)}")
        magnitude = float(wanted.abs().max())
        error = float((got - wanted).abs().max())
        if not (math.isfinite(error) and error <= max(absolute_tolerance, HEAD_RTOL * magnitude)):
            raise ExportError(
                f"head_{index}: torch and onnxruntime differ by {error:.3g} where the largest value is {magnitude:.3g}"
            )
        errors.append(error)
        magnitudes.append(magnitude)
    return max(errors), max(magnitudes)


def _rows(outputs: list[NDArray[np.float32]]) -> _Rows:
    counts, boxes, scores, class_ids = outputs
    image, place = (np.arange(scores.shape[1]) < counts[:, None]).nonzero()
    keys = np.stack((image, class_ids[image, place].astype(np.int64)), 1)
    return _Rows(keys, scores[image, place], boxes[image, place])


def _compare_detections(got: _Rows, wanted: _Rows) -> tuple[int, float, float]:
    """Return how many there are, the worst box error in pixels and the worst score error."""
    if len(got.keys) != len(wanted.keys):
        raise ExportError(f"torch finds {len(wanted.keys)} detections, onnxruntime {len(got.keys)}")
    if not len(got.keys):
        return 0, 0.0, 0.0
    box = np.abs(got.boxes[:, None] - wanted.boxes[None]).max(2)
    allowed = BOX_ATOL_PX + BOX_RTOL * np.abs(wanted.boxes).max(1)
    score = np.abs(got.scores[:, None] - wanted.scores[None])
    same = (got.keys[:, None] == wanted.keys[None]).all(2) & (box <= allowed) & (score <= SCORE_ATOL)
    if not (same.any(0).all() and same.any(1).all()):
        odd = int(np.argmin(same.any(1))) if not same.any(1).all() else int(np.argmin(same.any(0)))
        raise ExportError(f"torch and onnxruntime disagree about detection {odd}: {got.boxes[odd]} {got.scores[odd]}")
    nearest = np.where(same, score, np.inf).argmin(1)
    rows = np.arange(len(nearest))
    return len(rows), float(box[rows, nearest].max()), float(score[rows, nearest].max())

"""Agreement of an artifact in onnxruntime with its network in torch: the self-check that ends every export."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from yoloscope.models.detector import DETECTIONS, INPUTS, Detector, detect, find_candidates, scale_pixels
from yoloscope.models.errors import ModelLoadError
from yoloscope.models.layers.xnor import XnorConvBlock
from yoloscope.models.network import eval_mode
from yoloscope.models.session import CPU, Provider, open_session
from yoloscope.models.spec import DetectorSpec

Array = NDArray[np.float32]

HEAD_ATOL, HEAD_RTOL = 2e-4, 1e-4
BOX_ATOL_PX, BOX_RTOL = 1e-2, 1e-4
SCORE_ATOL = 1e-5
LEAST_SCORE: Final = 1e-5
"""Scores below are not compared: onnxruntime's Sigmoid is exact to 1e-7 only, and nobody asks for such detections."""
LEAST_GAP: Final = 2e-6
"""Scores closer together may come in either order."""
SETTINGS = ((8, 0.45), (40, 0.3), (150, 0.6))
"""Number of candidates that the score threshold lets pass, and the IoU threshold."""
IOU_LEEWAY: Final = (0.0, -0.005, 0.005)
"""Where two boxes overlap by the IoU threshold, rounding decides; then it does not a little above or below."""


@dataclass(frozen=True)
class ParityReport:
    """The worst deviations over all runs, and in words the ``differences`` beyond tolerance.

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
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        remark = "; a binary network, where rounding flips signs" if self.is_binary else ""
        summary = (
            f"torch against onnxruntime, {self.num_runs} runs: heads within {self.head_error:.1e} (largest value "
            f"{self.head_magnitude:.3g}), {self.num_detections} detections the same, boxes within "
            f"{self.box_error_px:.1e} px, scores within {self.score_error:.1e}{remark}"
        )
        return "\n".join((summary, *self.warnings))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines about the differences, for the user."""
        reason = "warning: the file is written, but torch and onnxruntime differ beyond rounding: "
        return tuple(reason + difference for difference in self.differences)


@dataclass
class _Worst:
    """The worst deviations so far."""

    head_error: float = 0.0
    head_magnitude: float = 0.0
    num_detections: int = 0
    box_error_px: float = 0.0
    score_error: float = 0.0
    differences: dict[str, None] = field(default_factory=dict)

    def add_heads(self, errors: Sequence[float], magnitudes: Sequence[float], tolerance: float) -> None:
        """Enter the error and the largest value of each head."""
        for index, (error, magnitude) in enumerate(zip(errors, magnitudes, strict=True)):
            if not (math.isfinite(error) and error <= max(tolerance, HEAD_RTOL * magnitude)):
                self.differences[f"head_{index} by {error:.3g} where the largest value is {magnitude:.3g}"] = None
        self.head_error = max(self.head_error, *errors)
        self.head_magnitude = max(self.head_magnitude, *magnitudes)

    def add_detections(self, compared: _Compared) -> None:
        """Enter how far the detections of one run agree."""
        if compared.difference is not None:
            self.differences[compared.difference] = None
        self.num_detections += compared.num_same
        self.box_error_px = max(self.box_error_px, compared.box_error_px)
        self.score_error = max(self.score_error, compared.score_error)


@dataclass(frozen=True)
class _Rows:
    """Detections of a batch as flat rows: image and class [n, 2], score [n], box [n, 4]."""

    keys: NDArray[np.int64]
    scores: Array
    boxes: Array


@dataclass(frozen=True)
class _Compared:
    """Detections that are the same on both sides, their worst errors, and what differs, if anything does."""

    num_same: int
    box_error_px: float
    score_error: float
    difference: str | None = None


def check_parity(detector: Detector, path: str | Path, providers: Sequence[Provider] = CPU) -> ParityReport:
    """Run noise and shapes, one and three images at a time, through torch and the artifact at ``path``.

    ``providers`` are onnxruntime's, with their options; torch computes on the device of the detector's parameters.

    Heads must agree within 2e-4, or 1e-4 of the largest value if that is more. Detections are compared between the
    artifact and torch's decoding and suppression of the artifact's own heads, at several thresholds from 1e-5 up, each
    in a gap between scores: the same images and classes, boxes within .01 px (or 1e-4 of their coordinates), scores
    within 1e-5. What is beyond is in the report's ``differences``. The heads of a binary network (xnor) need only be
    finite: two orders of summing flip a sign here and there, and every flip moves what follows. Raises ModelLoadError
    where onnxruntime cannot open or run the file.
    """
    session = open_session(Path(path), providers)
    is_binary = any(isinstance(module, XnorConvBlock) for module in detector.modules())
    images = list(synthetic_images(detector.spec))
    worst, runs = _Worst(), 0
    for batch in (np.stack(images[:1]), np.stack(images[1:])):
        expected = _torch_heads(detector, batch)
        for count, iou_threshold in SETTINGS:
            score_threshold = _thresholds(expected, detector.spec, count)
            run = _runner(session, detector, batch, score_threshold)
            heads = tuple(torch.from_numpy(head) for head in run(iou_threshold)[len(DETECTIONS) :])
            errors, magnitudes = _head_errors(heads, expected)
            worst.add_heads(errors, magnitudes, math.inf if is_binary else HEAD_ATOL)
            worst.add_detections(_compare_at(run, heads, detector.spec, score_threshold, iou_threshold))
            runs += 1
    return ParityReport(
        runs,
        worst.head_error,
        worst.head_magnitude,
        worst.num_detections,
        worst.box_error_px,
        worst.score_error,
        is_binary,
        tuple(worst.differences),
    )


Run = Callable[[float], list[Array]]


def _runner(
    session: onnxruntime.InferenceSession, detector: Detector, batch: NDArray[np.uint8], score_threshold: Array
) -> Run:
    """Return a function from an IoU threshold to all outputs of the artifact."""

    def run(iou_threshold: float) -> list[Array]:
        feeds = (batch, score_threshold, np.full(len(batch), iou_threshold, np.float32))
        try:
            outputs: list[Array] = session.run([*detector.output_names], dict(zip(INPUTS, feeds, strict=True)))
        except Exception as error:
            raise ModelLoadError(f"expected an artifact that onnxruntime can run, got: {error}") from error
        return outputs

    return run


def _compare_at(
    run: Run, heads: tuple[Tensor, ...], spec: DetectorSpec, score_threshold: Array, iou_threshold: float
) -> _Compared:
    """Compare detections at an IoU threshold, or a little beside it where they differ; the first result if all do."""
    results = []
    for leeway in IOU_LEEWAY:
        iou = iou_threshold + leeway
        overlap = torch.full((len(score_threshold),), iou, dtype=torch.float32)
        theirs = detect(heads, spec, torch.from_numpy(score_threshold), overlap)
        results.append(_compare_detections(_rows(run(iou)[: len(DETECTIONS)]), _rows([t.numpy() for t in theirs])))
        if results[-1].difference is None:
            return results[-1]
    return results[0]


def synthetic_images(spec: DetectorSpec) -> Iterator[NDArray[np.uint8]]:
    """Yield noise, a ramp, rectangles on gray, and noise on a ramp, uint8 [H, W, P] of the network's input."""
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
    images = scale_pixels(torch.from_numpy(batch).to(device), channels=detector.spec.input_channels)
    with eval_mode(detector):
        heads = detector.network(images)
    return tuple(head.float().cpu() for head in heads)


def _thresholds(heads: tuple[Tensor, ...], spec: DetectorSpec, count: int) -> Array:
    """Return per image a threshold of at least 1e-5 that about ``count`` candidates pass, in the widest gap of scores.

    In a gap no rounding decides who passes.
    """
    batch_size = heads[0].shape[0]
    candidates = find_candidates(heads, spec, torch.zeros(batch_size))
    thresholds = []
    for image in range(batch_size):
        scores = candidates.scores[candidates.image_index == image].double()
        thresholds.append(_threshold(scores.numpy(), count, spec.nms.score_threshold))
    return np.array(thresholds, np.float32)


def _threshold(scores: NDArray[np.float64], count: int, usual: float) -> float:
    """Return the middle of the widest gap among some ``count`` scores; ``usual`` where none is well above 1e-5.

    Where all gaps there are of the size of rounding errors, gaps further down are looked at.
    """
    ends = np.append(np.sort(scores[scores > LEAST_SCORE])[::-1], LEAST_SCORE)
    for first, last in ((count // 2, count + 1), (0, 10 * count), (0, len(ends))):
        upper, lower = ends[first:last][:-1], ends[first:last][1:]
        if len(upper) and (upper - lower).max() > LEAST_GAP:
            widest = int((upper - lower).argmax())
            return float(upper[widest] + lower[widest]) / 2
    return usual


def _head_errors(heads: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> tuple[list[float], list[float]]:
    """Return the worst error of each head, NaN where a value is not finite on both sides, and the largest magnitude."""
    errors = [float((got - wanted).abs().max()) for got, wanted in zip(heads, expected, strict=True)]
    return errors, [float(wanted.abs().max()) for wanted in expected]


def _rows(outputs: list[NDArray[np.float32]]) -> _Rows:
    counts, boxes, scores, class_ids = outputs
    image, place = (np.arange(scores.shape[1]) < counts[:, None]).nonzero()
    keys = np.stack((image, class_ids[image, place].astype(np.int64)), 1)
    return _Rows(keys, scores[image, place], boxes[image, place])


def _compare_detections(got: _Rows, wanted: _Rows) -> _Compared:
    """Pair the detections of both sides by image, class, box and score."""
    if not len(got.keys) or not len(wanted.keys):
        alone = len(got.keys) + len(wanted.keys)
        return _Compared(0, 0.0, 0.0, _counts(got, wanted) if alone else None)
    box = np.abs(got.boxes[:, None] - wanted.boxes[None]).max(2)
    allowed = BOX_ATOL_PX + BOX_RTOL * np.abs(wanted.boxes).max(1)
    score = np.abs(got.scores[:, None] - wanted.scores[None])
    same = (got.keys[:, None] == wanted.keys[None]).all(2) & (box <= allowed) & (score <= SCORE_ATOL)
    paired = same.any(1)
    nearest = np.where(same, score, np.inf).argmin(1)
    rows = paired.nonzero()[0]
    worst_box = float(box[rows, nearest[rows]].max()) if len(rows) else 0.0
    worst_score = float(score[rows, nearest[rows]].max()) if len(rows) else 0.0
    difference = None
    if len(got.keys) != len(wanted.keys):
        difference = _counts(got, wanted)
    elif not (paired.all() and same.any(0).all()):
        odd, side = (int(np.argmin(paired)), got) if not paired.all() else (int(np.argmin(same.any(0))), wanted)
        name = "onnxruntime" if side is got else "torch"
        difference = f"detection {odd} of {name} alone: box {side.boxes[odd].round(2)}, score {side.scores[odd]:.6g}"
    return _Compared(len(rows), worst_box, worst_score, difference)


def _counts(got: _Rows, wanted: _Rows) -> str:
    low = min((*got.scores, *wanted.scores), default=math.nan)
    return f"torch finds {len(wanted.keys)} detections, onnxruntime {len(got.keys)} (scores from {low:.3g})"

"""Speed of suppression: ``python -m tests.benchmarks.nms``; about a minute.

Ours is exact DIoU suppression, exported (onnxruntime, 2 threads) and eager (torch, 1 thread); beside it a sequential
loop in torch and in numpy (DIoU), and the plain-IoU suppression of onnxruntime and OpenCV. One image, 80 classes;
medians of one run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.benchmarks.report import heading
from yoloscope.models.boxes import area
from yoloscope.models.nms import diou_nms
from yoloscope.training.export.tracing import trace

CLASSES, IOU_THRESHOLD, BETA, THREADS = 80, 0.45, 0.6, 2
SIZES = (100, 1000, 5000)
SECONDS_PER_CELL = 0.6
REFERENCE = "OpenCV, IoU"


class Case(NamedTuple):
    """Corner boxes float32 [n, 4], scores float32 [n], classes int64 [n]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


class _Suppression(nn.Module):
    def forward(self, boxes: Tensor, scores: Tensor, classes: Tensor) -> Tensor:
        return diou_nms(boxes, scores, classes, IOU_THRESHOLD, BETA)


def spread(n: int) -> Case:
    """Return boxes anywhere, in classes at random: nearly all are kept."""
    rng = np.random.default_rng(n)
    return _case(rng.random((n, 2)), rng.uniform(0.01, 0.3, (n, 2)), rng.integers(0, CLASSES, n), rng)


def clustered(n: int) -> Case:
    """Return near-duplicates of 20 boxes, each of one class: nearly all are suppressed."""
    rng = np.random.default_rng(n)
    member = np.arange(n) % 20
    centers = rng.random((20, 2))[member] + rng.normal(0, 0.01, (n, 2))
    sizes = rng.uniform(0.05, 0.3, (20, 2))[member] * np.exp(rng.normal(0, 0.1, (n, 2)))
    return _case(centers, sizes, rng.integers(0, CLASSES, 20)[member], rng)


def _case(
    centers: NDArray[np.float64], sizes: NDArray[np.float64], classes: NDArray[np.int64], rng: np.random.Generator
) -> Case:
    boxes = np.concatenate((centers - sizes / 2, centers + sizes / 2), 1).astype(np.float32)
    return Case(boxes, rng.random(len(classes)).astype(np.float32), classes)


def exported() -> Callable[[Case], Callable[[], object]]:
    """Return our suppression in onnxruntime."""
    names = list(Case._fields)
    example = torch.rand(7, 4), torch.rand(7), torch.zeros(7, dtype=torch.int64)
    n = torch.export.Dim("n")
    model = trace(
        _Suppression(), example, input_names=names, output_names=["kept"], dynamic_shapes=[{0: n}] * len(names)
    )
    session = _session(model)
    return lambda case: lambda: session.run(None, dict(zip(names, case, strict=True)))


def eager(case: Case) -> Callable[[], object]:
    """Return our suppression in torch."""
    boxes, scores, classes = (torch.from_numpy(column) for column in case)
    return lambda: diou_nms(boxes, scores, classes, IOU_THRESHOLD, BETA)


def torch_loop(case: Case) -> Callable[[], object]:
    """Return the sequential algorithm in torch: each kept box against the rest of its class."""
    boxes, scores, classes = (torch.from_numpy(column) for column in case)

    def run() -> list[int]:
        alive, kept = torch.ones(len(scores), dtype=torch.bool), []
        areas = area(boxes)
        for index in scores.argsort(descending=True, stable=True).tolist():
            if alive[index]:
                kept.append(index)
                rest = (alive & (classes == classes[index])).nonzero()[:, 0]
                alive[rest[_torch_similarity(boxes[index], boxes[rest], areas[index], areas[rest]) > IOU_THRESHOLD]] = 0
        return kept

    return run


def numpy_loop(case: Case) -> Callable[[], object]:
    """Return the sequential algorithm in numpy, class by class."""
    boxes, scores, classes = case

    def run() -> list[int]:
        kept: list[int] = []
        for class_id in np.unique(classes):
            rows = np.flatnonzero(classes == class_id)
            rows = rows[np.argsort(-scores[rows], kind="stable")]
            while len(rows):
                kept.append(int(rows[0]))
                similarity = _numpy_similarity(boxes[rows[0]], boxes[rows[1:]])
                rows = rows[1:][~(similarity > IOU_THRESHOLD)]
        return kept

    return run


def opencv(case: Case) -> Callable[[], object]:
    """Return OpenCV's NMSBoxesBatched (plain IoU)."""
    boxes = np.concatenate((case.boxes[:, :2], case.boxes[:, 2:] - case.boxes[:, :2]), 1).astype(np.float64)
    suppress: Callable[..., object] = cv2.dnn.NMSBoxesBatched
    return lambda: suppress(boxes, case.scores, case.classes, 0.0, IOU_THRESHOLD)


def onnxruntime_operator() -> Callable[[Case], Callable[[], object]]:
    """Return onnxruntime's NonMaxSuppression (plain IoU), scores spread over [1, classes, n]."""
    names = ["boxes", "scores", "most", "iou", "score"]
    kinds = [onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, *[onnx.TensorProto.FLOAT] * 2]
    shapes: list[list[object]] = [[1, None, 4], [1, CLASSES, None], [1], [1], [1]]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("NonMaxSuppression", names, ["kept"])],
        "nms",
        [onnx.helper.make_tensor_value_info(*value) for value in zip(names, kinds, shapes, strict=True)],
        [onnx.helper.make_tensor_value_info("kept", onnx.TensorProto.INT64, [None, 3])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    session = _session(model)

    def prepare(case: Case) -> Callable[[], object]:
        scores = np.zeros((1, CLASSES, len(case.scores)), np.float32)
        scores[0, case.classes, np.arange(len(case.scores))] = case.scores
        limits = np.array([len(case.scores)]), np.array([IOU_THRESHOLD], np.float32), np.array([1e-9], np.float32)
        feeds = dict(zip(names, (case.boxes[None], scores, *limits), strict=True))
        return lambda: session.run(None, feeds)

    return prepare


def milliseconds(run: Callable[[], object]) -> float:
    """Return the median time of a call, over at most ``SECONDS_PER_CELL``."""
    run()
    times: list[float] = []
    until = time.perf_counter() + SECONDS_PER_CELL
    while not times or time.perf_counter() < until:
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def _torch_similarity(one: Tensor, many: Tensor, one_area: Tensor, many_area: Tensor) -> Tensor:
    sides = (torch.minimum(one[2:], many[:, 2:]) - torch.maximum(one[:2], many[:, :2])).clamp_min(0)
    overlap = sides[:, 0] * sides[:, 1]
    hull = torch.maximum(one[2:], many[:, 2:]) - torch.minimum(one[:2], many[:, :2])
    offset = (one[:2] + one[2:] - many[:, :2] - many[:, 2:]) / 2
    ratio = offset.square().sum(1) / hull.square().sum(1)
    return overlap / (one_area + many_area - overlap) - ratio**BETA


def _numpy_similarity(one: NDArray[np.float32], many: NDArray[np.float32]) -> NDArray[np.float32]:
    sides = np.maximum(np.minimum(one[2:], many[:, 2:]) - np.maximum(one[:2], many[:, :2]), 0)
    overlap = sides[:, 0] * sides[:, 1]
    areas = (many[:, 2] - many[:, 0]) * (many[:, 3] - many[:, 1]) + (one[2] - one[0]) * (one[3] - one[1])
    hull = np.maximum(one[2:], many[:, 2:]) - np.minimum(one[:2], many[:, :2])
    offset = (one[:2] + one[2:] - many[:, :2] - many[:, 2:]) / 2
    ratio = (offset**2).sum(1) / (hull**2).sum(1)
    similarity: NDArray[np.float32] = overlap / (areas - overlap) - ratio ** np.float32(BETA)
    return similarity


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Print the table: milliseconds, and in brackets the ratio to OpenCV in the same run."""
    torch.set_num_threads(1)
    cv2.setNumThreads(THREADS)
    candidates = {
        "ours, ONNX, DIoU": exported(),
        "ours, eager, DIoU": eager,
        "torch loop, DIoU": torch_loop,
        "numpy loop, DIoU": numpy_loop,
        "onnxruntime operator, IoU": onnxruntime_operator(),
        REFERENCE: opencv,
    }
    cases = {f"{make.__name__} {n}": make(n) for make in (spread, clustered) for n in SIZES}
    print(heading("Suppression, ms (ratio to OpenCV)", "torch", "onnxruntime-gpu", "opencv-python-headless", "numpy"))
    print(f"| {THREADS} threads | {' | '.join(cases)} |")
    print("|---|" + "---|" * len(cases))
    reference = {name: milliseconds(opencv(case)) for name, case in cases.items()}
    for name, prepare in candidates.items():
        cells = []
        for label, case in cases.items():
            value = reference[label] if name == REFERENCE else milliseconds(prepare(case))
            cells.append(f"{value:.2f} ({value / reference[label]:.2f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

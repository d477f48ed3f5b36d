"""Speed of a whole artifact: ``python -m tests.benchmarks.detect [--provider cuda]``; about half a minute.

yolov4-tiny at 416x416 with untrained weights, 80 classes, through the service's runtime. ``heads`` leaves decoding and
suppression out; ``detections`` has the score threshold that about 100 candidates of the first image pass.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.report import heading
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.sessions import Provider
from yoloscope.models.preprocess import preprocess
from yoloscope.models.registry import build
from yoloscope.training.export.onnx import export_onnx

BATCHES, CANDIDATES, ROUNDS, THREADS = (1, 8), 100, 15, 2


def milliseconds(run: Callable[[], object]) -> float:
    """Return the median time of a call after two that do not count."""
    times = []
    for _ in range(ROUNDS + 2):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[2:])


def open_runtime(folder: Path, provider: Provider) -> Runtime:
    """Export an untrained yolov4-tiny and open it."""
    torch.manual_seed(0)
    network = build("yolov4-tiny").eval()
    export_onnx(network, network.spec, folder / "model.onnx")
    return Runtime(folder / "model.onnx", provider, THREADS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print milliseconds per image, and the ratio to the heads alone in the same run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--provider", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args(arguments)
    random = np.random.default_rng(0)
    photo = random.integers(0, 256, (576, 768, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        runtime = open_runtime(Path(folder), options.provider)
        placed, _ = preprocess(photo, runtime.spec)
        everything = runtime.detect(placed[None], [0.0], [1.0])[0].scores
        threshold = float(everything[min(CANDIDATES, len(everything) - 1)])
        print(heading(f"yolov4-tiny on {runtime.provider}, ms per image (ratio)", "onnxruntime-gpu"))
        print("| batch | placing a 768x576 image | heads | detections |\n|---|---|---|---|")
        for batch in BATCHES:
            images = np.repeat(placed[None], batch, 0)
            place_ms = milliseconds(partial(preprocess, photo, runtime.spec))
            heads_ms = milliseconds(partial(runtime.heads, images)) / batch
            full_ms = milliseconds(partial(runtime.detect, images, [threshold] * batch, [0.45] * batch)) / batch
            cells = [f"{value:.2f} ({value / heads_ms:.2f})" for value in (place_ms, heads_ms, full_ms)]
            print(f"| {batch} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

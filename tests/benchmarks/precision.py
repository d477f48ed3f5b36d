"""What the variants of a model cost and bring: ``python -m tests.benchmarks.precision [--serve]``.

For the official yolov4-tiny on coco128 and the built-in model on BCCD: the loss of AP of each variant by labels, and by
the two measures that need none: against what fp32 finds in the same images at 7/8 of their size, and against what it
finds in the same images as they are. Every other image calibrates, those between measure. ``plain`` is int8 with
everything quantized and ranges from the extremes, which loses much. Times are those of ``yoloscope quantize``.

With ``--serve`` a service in fp32 and one with ``YOLOSCOPE_PRECISION=auto`` answer in turns, at 1, 8, 32 connections.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import onnx

from tests.benchmarks.report import heading
from yoloscope.app.commands.bench import generated_image
from yoloscope.app.commands.quantize import MEASURED, find_sample, make_variants
from yoloscope.app.hub import ensure_artifact
from yoloscope.app.load_generator import Load, LoadResult, Target, measure
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.variants.detectors import open_variant
from yoloscope.app.services.variants.report import variants_folder
from yoloscope.app.settings import Settings, load_settings
from yoloscope.training.evaluation.agreement import JudgedImage, average_precisions, with_labels, with_own_detections
from yoloscope.training.evaluation.predict import ImageDetector
from yoloscope.training.export.precision import make_int8
from yoloscope.training.export.quantization.int8 import Int8Settings

DATA: Final = Path(os.environ.get("DATA_DIR", Path(__file__).resolve().parents[3] / "shared" / "data"))
CONNECTIONS: Final = (1, 8, 32)
ROUNDS, ROUND_S, START_S = 3, 6.0, 300.0


def print_losses(title: str, model: str, data: Path, scratch: Path) -> None:
    """Print the loss of AP of every variant of a model by each measure, and its speed."""
    settings = load_settings(model=model, calibration_data=data, models_dir=scratch, threads=1)
    source = ensure_artifact(model, settings)
    original = Runtime(source, "cpu", 1)
    folder = variants_folder(scratch, original.sha256, data, 1)
    report = make_variants(source, folder, settings)
    sample = find_sample(data, original.spec)
    plain, _ = make_int8(source, sample.calibration, Int8Settings(float_share=0, method="extremes"))
    onnx.save(plain, folder / "plain.onnx")
    rows: list[tuple[str, ImageDetector, str]] = [
        ("fp32", original, "1.00"),
        ("int8 in onnxruntime, plain", Runtime(folder / "plain.onnx", "cpu", 1), "-"),
    ]
    for one in report.variants:
        detector = open_variant(folder, one.precision, one.engine, original.spec, 1)
        rows.append((one.name, detector, f"{one.speedup:.2f}"))
    detectors = [detector for _, detector, _ in rows]
    columns = [average_precisions(detectors, judged) for judged in truths(data, original)]
    print(heading(f"{title}, {min(MEASURED, len(sample.paths))} images, 1 thread", "onnxruntime-gpu", "openvino"))
    print("| | AP | loss by labels | at 7/8 of the size | in the same image | times as fast |\n|" + "---|" * 6)
    for number, (name, _, speedup) in enumerate(rows):
        losses = " | ".join(f"{column[0] - column[number]:+.4f}" for column in columns)
        print(f"| {name} | {columns[0][number]:.4f} | {losses} | {speedup} |")


def truths(data: Path, original: Runtime) -> Iterator[Iterator[JudgedImage]]:
    """Yield the images with each kind of truth."""
    sample = find_sample(data, original.spec)
    assert sample.labeled is not None
    chosen = set(sample.paths)
    yield with_labels([image for image in sample.labeled.images if image.path in chosen], original.spec)
    yield with_own_detections(sample.paths, original)
    yield with_own_detections(sample.paths, original, scale=1.0)


@contextmanager
def service(settings: Settings, precision: str) -> Iterator[str]:
    """Start a service and give its address once its variant is ready."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {
        **os.environ,
        "YOLOSCOPE_PRECISION": precision,
        "YOLOSCOPE_CALIBRATION_DATA": str(settings.calibration_data),
        "YOLOSCOPE_MODELS_DIR": str(settings.models_dir),
        "YOLOSCOPE_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "yoloscope.app.cli", "serve", "--model", str(settings.model), "--port", str(port)]
    process = subprocess.Popen(command, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        wait(url, str(settings.model))
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def wait(url: str, model: str) -> None:
    """Wait for the variant, and print what the service says of it."""
    end = time.monotonic() + START_S
    state = None
    while state in {None, "preparing"} and time.monotonic() < end:
        try:
            said = httpx.get(f"{url}/v1/models/{model}").json()["precision"]
            state = said["state"]
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    speed = f", {said['speedup']:.2f} times as fast, loss of AP {said['ap_drop']:.4f}" if said["speedup"] else ""
    print(f"{said['requested']}: {said['running']} in {said['engine']}{speed}: {said['reason']}")


def print_served(model: str, data: Path, models_dir: Path) -> None:
    """Print requests a second and latencies of fp32 and auto in turns."""
    settings = load_settings(model=model, calibration_data=data, models_dir=models_dir)
    ensure_artifact(model, settings)
    results: dict[tuple[str, int], list[LoadResult]] = {}
    with service(settings, "fp32") as plain, service(settings, "auto") as fast:
        targets = {
            name: Target(f"{url}/v1/detect", [generated_image()]) for name, url in (("fp32", plain), ("auto", fast))
        }
        for _, connections, name in product(range(ROUNDS), CONNECTIONS, targets):
            done = asyncio.run(measure(targets[name], Load(connections), ROUND_S))
            results.setdefault((name, connections), []).append(done)
    print(heading(f"{model}, generated JPEG, {ROUNDS} rounds of {ROUND_S:g} s in turns", "onnxruntime-gpu", "openvino"))
    print("| connections | fp32 1/s | auto 1/s | times | fp32 p50 / p99 ms | auto p50 / p99 ms |\n|" + "---|" * 6)
    for connections in CONNECTIONS:
        rates = [np.median([one.throughput for one in results[name, connections]]) for name in targets]
        tails = [latencies(results[name, connections]) for name in targets]
        print(f"| {connections} | {rates[0]:.1f} | {rates[1]:.1f} | {rates[1] / rates[0]:.2f} | {' | '.join(tails)} |")


def latencies(results: Sequence[LoadResult]) -> str:
    everything = [latency * 1e3 for one in results for latency in one.latencies_s]
    return f"{np.percentile(everything, 50):.0f} / {np.percentile(everything, 99):.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables whose data is at hand."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--coco", type=Path, default=DATA / "coco128")
    parser.add_argument("--bccd", type=Path, default=DATA / "bccd")
    parser.add_argument("--serve", action="store_true", help="measure two services in place of the losses")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if options.serve:
            print_served("yolov4-tiny", options.coco, Path(folder))
            return
        for title, model, data in (
            ("yolov4-tiny on coco128", "yolov4-tiny", options.coco),
            ("builtin on BCCD", "builtin", options.bccd),
        ):
            if data.is_dir():
                print_losses(title, model, data, Path(folder))
            else:
                print(f"needs {data}")


if __name__ == "__main__":
    main()

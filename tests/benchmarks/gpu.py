"""The service's runtime and a training step on CUDA: ``python -m tests.benchmarks.gpu [FP32.onnx FP16.onnx]``.

Some three minutes, of which the export takes one if no artifacts are given: yolov4-tiny at 416 x 416 with untrained
weights, 80 classes; the score threshold is the one that about 100 candidates of
an image pass. ``onnxruntime`` is the network alone, its inputs copied to the device and its heads left there.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.benchmarks.nms import BETA, IOU_THRESHOLD, clustered, spread
from tests.benchmarks.report import heading
from yoloscope.app.services.device_pipeline import DevicePipeline
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.decoding import decode_heads
from yoloscope.models.nms import diou_nms
from yoloscope.models.registry import build
from yoloscope.models.structures import GroundTruth
from yoloscope.training.export.artifact import write_artifact
from yoloscope.training.export.onnx import export_onnx
from yoloscope.training.export.precision import make_fp16
from yoloscope.training.losses import compute_loss

BATCHES, CANDIDATES, ROUNDS, OBJECTS = (1, 2, 4, 8, 16, 32), 100, 30, 20


def milliseconds(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median time of a call, the device's work in it done, after three that do not count."""
    times = []
    for _ in range(rounds + 3):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[3:])


def threshold_of(runtime: Runtime, image: np.ndarray) -> float:
    """Return the score that ``CANDIDATES`` of an image exceed."""
    heads = tuple(torch.from_numpy(head) for head in runtime.heads(image[None]))
    return float(decode_heads(heads, runtime.spec).class_scores.flatten().topk(CANDIDATES + 1).values[-1])


def print_detection(path: Path, title: str, images: np.ndarray) -> None:
    """Print the time of a batch in onnxruntime alone and in the service's runtime, and what decoding and NMS take."""
    runtime = Runtime(path, "cuda")
    pipeline = runtime.pipeline
    assert isinstance(pipeline, DevicePipeline)
    threshold = threshold_of(runtime, images[0])
    print(f"\n{title}, score threshold {threshold:.4f}\n")
    print("| batch | onnxruntime, ms | decoding and NMS, ms (share) | runtime, ms | images/s | onnxruntime / runtime |")
    print("|---|---|---|---|---|---|")
    for batch in BATCHES:
        levels, thresholds = images[:batch], ([threshold] * batch, [IOU_THRESHOLD] * batch)
        alone = milliseconds(partial(pipeline.run_network, levels))
        whole = milliseconds(partial(runtime.detect, levels, *thresholds))
        rest = milliseconds(partial(pipeline.detect_again, batch, *thresholds))
        print(
            f"| {batch} | {alone:.2f} | {rest:.2f} ({rest / alone:.2f}) | {whole:.2f} | {batch / whole * 1e3:.0f} "
            f"| {alone / whole:.2f} |"
        )


def print_nms() -> None:
    """Print the time of exact suppression of one image's boxes, eager on the device and on one thread of the CPU."""
    torch.set_num_threads(1)
    print("\n| NMS, one image, 80 classes, ms | CUDA | CPU |\n|---|---|---|")
    for name, make in (("random", spread), ("clustered", clustered)):
        for count in (100, 1000, 5000):
            times = []
            for device in ("cuda", "cpu"):
                boxes, scores, classes = (torch.from_numpy(column).to(device) for column in make(count))
                times.append(milliseconds(partial(diou_nms, boxes, scores, classes, IOU_THRESHOLD, BETA), 10))
            print(f"| {count} {name} | {times[0]:.2f} | {times[1]:.2f} |")


def print_memory(path: Path, images: np.ndarray, runs: int) -> None:
    """Print the memory of the device in use after 1,000 batches, and at the end, of thresholds and sizes at random."""
    runtime = Runtime(path, "cuda")
    random = np.random.default_rng(0)
    threshold, used = threshold_of(runtime, images[0]), []
    for run in range(runs):
        batch = int(random.choice((1, 2, 4, 8)))
        score = threshold * random.uniform(0.8, 1.2)
        runtime.detect(images[:batch], [score] * batch, [IOU_THRESHOLD] * batch)
        if run in {min(1000, runs // 2), runs - 1}:
            free, total = torch.cuda.mem_get_info()
            used.append((total - free) / 2**20)
    print(f"\nmemory of the device in use: {used[0]:.0f} MiB after 1,000 batches, {used[1]:.0f} MiB after {runs:,}")


def print_training(batches: tuple[int, ...] = (8, 32, 64)) -> None:
    """Print the time of a training step, of its network alone and with the loss v4, in float32 and bfloat16."""
    print(
        "\n| training, batch | precision | network, ms | with the loss, ms (ratio) | images/s |\n|---|---|---|---|---|"
    )
    torch.manual_seed(0)
    network = build("yolov4-tiny").cuda().train()
    spec = network.spec
    optimizer = torch.optim.SGD(network.parameters(), 1e-5, 0.9)
    for batch in batches:
        pixels = torch.rand(batch, 3, spec.input_height, spec.input_width, device="cuda")
        index = torch.arange(batch, device="cuda").repeat_interleave(OBJECTS)
        boxes = torch.rand(len(index), 4, device="cuda") * 0.3 + 0.2
        truth = GroundTruth(boxes, index % len(spec.class_names), index, batch)
        for precision in ("float32", "bfloat16"):

            def step(
                cost: Callable[[tuple[Tensor, ...]], Tensor], dtype: str = precision, images: Tensor = pixels
            ) -> None:
                with torch.autocast("cuda", torch.bfloat16, enabled=dtype == "bfloat16"):
                    heads = network(images)
                cost(heads).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                optimizer.zero_grad()

            def loss(heads: tuple[Tensor, ...], objects: GroundTruth = truth) -> Tensor:
                return compute_loss(heads, objects, spec, "v4").total

            alone, whole = milliseconds(partial(step, _mean), 12), milliseconds(partial(step, loss), 12)
            times = f"{alone:.1f} | {whole:.1f} ({whole / alone:.2f})"
            print(f"| {batch} | {precision} | {times} | {batch / whole * 1e3:.0f} |")


def _mean(heads: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([head.float().mean() for head in heads]).sum()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifacts", nargs="*", type=Path, help="in float32 and, if there is one, in half precision")
    parser.add_argument("--runs", type=int, default=10_000, help="batches between the readings of memory")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.exit(1, "expected a CUDA device, got none\n")
    with tempfile.TemporaryDirectory() as folder:
        artifacts = options.artifacts or export_both(Path(folder))
        spec = Runtime(artifacts[0], "cpu").spec
        shape = (max(BATCHES), spec.input_height, spec.input_width, spec.image_planes)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        title = f"{spec.name}, {spec.input_width} x {spec.input_height}, on {torch.cuda.get_device_name()}"
        print(heading(title, "onnxruntime-gpu", "torch"))
        for path, precision in zip(artifacts, ("fp32 (without TF32)", "fp16"), strict=False):
            print_detection(path, precision, images)
        print_nms()
        print_training()
        print_memory(artifacts[0], images, options.runs)


def export_both(folder: Path) -> list[Path]:
    """Write an untrained yolov4-tiny in float32 and in half precision."""
    torch.manual_seed(0)
    network = build("yolov4-tiny").eval()
    paths = [folder / "fp32.onnx", folder / "fp16.onnx"]
    export_onnx(network, network.spec, paths[0])
    write_artifact(make_fp16(paths[0]), paths[1], lambda _: None)
    return paths


if __name__ == "__main__":
    main()

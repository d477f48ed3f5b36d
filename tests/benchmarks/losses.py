"""Speed and memory of the losses beside their floors: ``python -m tests.benchmarks.losses``.

Every figure of one table is measured in one run, alternating between the candidates, and given as a median with its
ratio to the reference of the table, because absolute times drift. With one thread, the default, the clock is processor
time, which other work on the machine does not touch; with more it is wall time. The references are written here from
their description: a v5-style loss (BCE over all objectness logits, CIoU and class BCE at the positives, through the
usual permuted copy of the heads, no ignore test), and the floor (a gradient written by hand: zero fill, objectness and
positives, plus the in-place IoU of all predictions with every object).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from tests.benchmarks.report import heading
from yoloscope.models import boxes
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import match_best_anchor
from yoloscope.training.assignment.grid import head_geometries
from yoloscope.training.assignment.ignore import max_iou, padded_boxes_xyxy
from yoloscope.training.losses import LossReport, compute_loss
from yoloscope.training.losses.decode import box_planes, decode_planes
from yoloscope.training.losses.names import Detail

CLASSES = 80
OBJECTS = 20
V4_ANCHORS = ((12, 16), (19, 36), (40, 28), (36, 75), (76, 55), (72, 146), (142, 110), (192, 243), (459, 401))
V2_ANCHORS = ((42, 55), (102, 128), (162, 259), (303, 155), (360, 320))
SIZES = {"16 x 416": (16, 416), "64 x 608": (64, 608)}


@dataclass(frozen=True)
class Batch:
    """Raw heads with gradient, objects and spec of one measurement."""

    heads: tuple[Tensor, ...]
    truth: GroundTruth
    spec: DetectorSpec


def v4_batch(batch_size: int, side: int) -> Batch:
    heads = tuple(
        HeadSpec(kind="yolo", grid_width=side // s, grid_height=side // s, anchor_indices=mask, scale_xy=scale)
        for s, mask, scale in ((8, (0, 1, 2), 1.2), (16, (3, 4, 5), 1.1), (32, (6, 7, 8), 1.05))
    )
    return _batch(batch_size, _spec("v4", side, V4_ANCHORS, heads))


def v2_batch(batch_size: int) -> Batch:
    head = HeadSpec(
        kind="region", grid_width=13, grid_height=13, anchor_indices=(0, 1, 2, 3, 4), class_activation="softmax"
    )
    return _batch(batch_size, _spec("v2", 416, V2_ANCHORS, (head,), classes=20))


def v1_batch(batch_size: int) -> Batch:
    head = HeadSpec(kind="detection", grid_width=7, grid_height=7, boxes_per_cell=2, sqrt_wh=True)
    return _batch(batch_size, _spec("v1", 448, (), (head,), classes=20), objects=4)


def _spec(
    family: str, side: int, anchors: tuple[tuple[int, int], ...], heads: tuple[HeadSpec, ...], classes: int = CLASSES
) -> DetectorSpec:
    return DetectorSpec(
        name="benchmark",
        family=family,
        class_names=tuple(str(i) for i in range(classes)),
        input_width=side,
        input_height=side,
        anchors_px=anchors,
        heads=heads,
        loss=LossSpec(preset=family),
    )


def _batch(batch_size: int, spec: DetectorSpec, objects: int = OBJECTS) -> Batch:
    generator = torch.Generator().manual_seed(7)
    heads = tuple(
        torch.randn(spec.head_shape(i, batch_size), generator=generator).sub_(1).requires_grad_()
        for i in range(len(spec.heads))
    )
    n = batch_size * objects
    truth = GroundTruth(
        torch.rand(n, 4, generator=generator) * torch.tensor([1.0, 1.0, 0.4, 0.4]) + torch.tensor([0, 0, 0.01, 0.01]),
        torch.randint(0, spec.num_classes, (n,), generator=generator),
        torch.arange(batch_size).repeat_interleave(objects),
        batch_size,
    )
    truth.boxes_cxcywh_norm.clamp_(max=1)
    return Batch(heads, truth, spec)


def ours(batch: Batch, detail: Detail = "summary", look: Callable[[LossReport], object] | None = None) -> None:
    for head in batch.heads:
        head.grad = None
    report = compute_loss(batch.heads, batch.truth, batch.spec, batch.spec.family, detail=detail)
    torch.autograd.backward(report.total)
    if look is not None:
        look(report)


def full_account(report: LossReport) -> object:
    return report.terms, report.by_scale, report.by_image


def object_account(report: LossReport) -> object:
    return report.terms, report.by_scale, report.by_image, report.by_object, report.assignment.statuses


def v5_style(batch: Batch) -> None:
    for head in batch.heads:
        head.grad = None
    geometries = head_geometries(batch.heads, batch.spec)
    anchors = torch.tensor(batch.spec.anchors_px, dtype=torch.float32)
    box_loss = class_loss = objectness_loss = torch.zeros(())
    for head, matched in zip(batch.heads, match_best_anchor(batch.truth, geometries, anchors, 0.213), strict=True):
        b, a, h, w = matched.geometry.shape
        permuted = head.view(b, a, -1, h, w).permute(0, 1, 3, 4, 2).contiguous()
        own = permuted[matched.images, matched.anchors, matched.rows, matched.columns]
        cells = torch.stack((matched.columns, matched.rows), -1)
        center = (own[:, :2].sigmoid() * 2 - 0.5 + cells) / torch.tensor([w, h])
        extent = (own[:, 2:4].sigmoid() * 2) ** 2 * torch.tensor(matched.geometry.anchors_norm)[matched.anchors]
        predicted = boxes.cxcywh_to_xyxy(torch.cat((center, extent), -1))
        target = boxes.cxcywh_to_xyxy(batch.truth.boxes_cxcywh_norm[matched.objects])
        ciou = boxes.paired_ciou(predicted, target)
        wanted = torch.zeros_like(permuted[..., 0])
        wanted[matched.images, matched.anchors, matched.rows, matched.columns] = ciou.detach().clamp(0)
        classes = torch.zeros_like(own[:, 5:])
        classes[torch.arange(len(classes)), batch.truth.class_ids[matched.objects]] = 1
        box_loss = box_loss + (1 - ciou).mean()
        class_loss = class_loss + functional.binary_cross_entropy_with_logits(own[:, 5:], classes)
        objectness_loss = objectness_loss + functional.binary_cross_entropy_with_logits(permuted[..., 4], wanted)
    torch.autograd.backward(0.05 * box_loss + 0.5 * class_loss + objectness_loss)


def floor(batch: Batch) -> None:
    """Writes zeros, objectness and positives into fresh gradients, and takes the IoU of everything in place."""
    geometries = head_geometries(batch.heads, batch.spec)
    anchors = torch.tensor(batch.spec.anchors_px, dtype=torch.float32)
    padded = padded_boxes_xyxy(batch.truth, torch.float32)
    matches = match_best_anchor(batch.truth, geometries, anchors, 0.213)
    with torch.no_grad():
        for head, matched in zip(batch.heads, matches, strict=True):
            b, a, h, w = matched.geometry.shape
            entries = head.view(b, a, -1, h, w)
            gradient = torch.zeros_like(entries)
            gradient[:, :, 4] = entries[:, :, 4].sigmoid()
            at = matched.images, matched.anchors, slice(None), matched.rows, matched.columns
            gradient[at] = entries[at].sigmoid() - 1
            max_iou(decode_planes(box_planes(head, matched.geometry), matched.geometry, "scaled", "exp"), padded)
            head.grad = gradient.view(head.shape)


def v1_floor(batch: Batch) -> Callable[[], None]:
    """Weighted squared error of the activated head against targets and weights that are there already."""
    (head,) = batch.heads
    layout = batch.spec.heads[0].detection_layout(batch.spec.num_classes)
    target, weight = torch.rand_like(head), torch.rand_like(head)

    def run() -> None:
        head.grad = None
        classes = head[:, layout.classes].view(len(head), layout.cells, -1).softmax(-1).flatten(1)
        activated = torch.cat((classes, head[:, layout.classes.stop :].sigmoid()), dim=1)
        torch.autograd.backward((weight * (activated - target).square()).sum())

    return run


def v2_floor(batch: Batch) -> None:
    """Squared error of the whole raw head, and the IoU of everything in place."""
    (head,) = batch.heads
    head.grad = None
    torch.autograd.backward(head.square().sum())
    (geometry,) = head_geometries(batch.heads, batch.spec)
    max_iou(
        decode_planes(box_planes(head, geometry), geometry, "sigmoid", "exp"),
        padded_boxes_xyxy(batch.truth, torch.float32),
    )


def medians(candidates: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each candidate, measured in turn so that drift meets all alike."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for attempt in range(rounds + 1):
        for name, run in candidates.items():
            start = clock()
            run()
            if attempt:
                times[name].append((clock() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def v4_candidates(batch: Batch) -> dict[str, Callable[[], None]]:
    return {
        "v5-style": lambda: v5_style(batch),
        "floor with IoU": lambda: floor(batch),
        "v4": lambda: ours(batch),
        "v4, terms scales images": lambda: ours(batch, look=full_account),
        "v4, objects": lambda: ours(batch, "objects", object_account),
    }


def extra_memory_mb(candidate: str, size: str) -> float:
    """Growth of the peak resident size over the heads alone, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.losses", "--memory", candidate, "--size", size]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _print_memory(candidate: str, size: str) -> None:
    small = v4_candidates(v4_batch(1, 64))[candidate]
    small()
    batch = v4_batch(*SIZES[size])
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status_kb("VmRSS")
    v4_candidates(batch)[candidate]()
    print((_status_kb("VmHWM") - before) / 1024)


def _status_kb(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def _table(title: str, times: dict[str, float], reference: str, memory: dict[str, float]) -> None:
    print(f"\n{title}\n{'':28}{'ms':>10}{'ratio':>8}{'extra MB':>10}")
    for name, value in times.items():
        extra = f"{memory[name]:10.0f}" if name in memory else ""
        print(f"{name:28}{value:10.2f}{value / times[reference]:8.2f}{extra}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--size", default="16 x 416", choices=SIZES)
    parser.add_argument("--only", choices=SIZES, help="measure the v4 loss at one size only")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.memory:
        _print_memory(options.memory, options.size)
        return
    print(heading(f"Losses, {torch.get_num_threads()} threads", "torch"))
    for size in [options.only] if options.only else SIZES:
        batch = v4_batch(*SIZES[size])
        times = medians(v4_candidates(batch), options.rounds)
        memory = {name: extra_memory_mb(name, size) for name in ("v5-style", "v4", "v4, objects")}
        _table(f"v4 loss, forward and backward, batch {size}, {CLASSES} classes", times, "v5-style", memory)
        del batch
    if not options.only:
        one, two = v1_batch(64), v2_batch(64)
        times = medians({"floor": v1_floor(one), "v1": lambda: ours(one)}, 100)
        _table("v1 loss, batch 64", times, "floor", {})
        times = medians({"floor": lambda: v2_floor(two), "v2": lambda: ours(two)}, 20)
        _table("v2 loss, batch 64", times, "floor", {})


if __name__ == "__main__":
    main()

"""Time of an audit behind the forward pass: probabilities of all findings in BCCD, their gains, and what is said."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

from tests.benchmarks.audit.data import BenchImage
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.diagnostics.audit import DEFAULT_FLOOR
from yoloscope.training.diagnostics.batch import AuditBatch
from yoloscope.training.diagnostics.calibration import AuditCalibration

ROUNDS = 5
CHUNK = 64


def print_times(images: list[BenchImage], spec: DetectorSpec, calibration: AuditCalibration) -> None:
    """Print the median seconds for all images, of the clock and of processor time, in turns."""

    batches = partial(_batches, images, spec, calibration)
    parts: dict[str, Callable[[], list[AuditBatch]]] = {
        "probabilities": lambda: [batch for batch in batches() if batch.suspicions()],
        "with gains": lambda: [batch for batch in batches() if batch.gains(batch.suspicions())],
        "with gains, reasons and flags": lambda: [batch for batch in batches() if batch.audits()],
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    for _ in range(ROUNDS):
        for name, part in parts.items():
            times[name].append(_seconds(part))
    num_labels = sum(len(image.labels) for image in images)
    num_findings = sum(len(audit.findings) for batch in batches() for audit in batch.audits())
    print(f"behind the forward pass, {len(images)} images, {num_labels} labels, {num_findings} findings")
    for name, values in times.items():
        clock, processor = (sorted(column) for column in zip(*values, strict=True))
        print(
            f"  {name:30} {statistics.median(clock):.2f} s ({clock[0]:.2f} to {clock[-1]:.2f}), "
            f"{statistics.median(processor):.2f} s of processor time"
        )
    print()


def _batches(images: list[BenchImage], spec: DetectorSpec, calibration: AuditCalibration) -> list[AuditBatch]:
    parts = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    return [
        AuditBatch(
            [image.name for image in part],
            [image.labels for image in part],
            [image.found for image in part],
            spec,
            calibration,
            DEFAULT_FLOOR,
        )
        for part in parts
    ]


def _seconds(function: Callable[[], object]) -> tuple[float, float]:
    clock, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - clock, time.process_time() - processor

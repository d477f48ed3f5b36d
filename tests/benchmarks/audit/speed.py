"""Time of an audit behind the forward pass: what judges the labels of BCCD, and what computes the gains."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from tests.benchmarks.audit.data import BenchImage
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.diagnostics.audit import DEFAULT_FLOOR
from yoloscope.training.diagnostics.batch import AuditBatch
from yoloscope.training.diagnostics.calibration import AuditCalibration

ROUNDS = 5
CHUNK = 64


def print_times(images: list[BenchImage], spec: DetectorSpec, calibration: AuditCalibration) -> None:
    """Print the median seconds for all images, in turns."""

    def batches() -> list[AuditBatch]:
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

    def probabilities() -> None:
        for batch in batches():
            batch.suspicions()

    def whole() -> None:
        for batch in batches():
            batch.audits()

    times: dict[str, list[float]] = {"probabilities": [], "with gains, reasons and flags": []}
    for _ in range(ROUNDS):
        times["probabilities"].append(_seconds(probabilities))
        times["with gains, reasons and flags"].append(_seconds(whole))
    print(f"behind the forward pass, {len(images)} images, {sum(len(image.labels) for image in images)} labels")
    for name, values in times.items():
        print(f"  {name:30} {statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})")
    print()


def _seconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start

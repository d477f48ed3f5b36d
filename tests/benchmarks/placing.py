"""Speed of placing images on a 416x416 input: ``python -m tests.benchmarks.placing``.

darknet's resize beside Pillow's BILINEAR, which smooths, and OpenCV's INTER_LINEAR, which does not; medians of one run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.report import heading
from yoloscope.models.resize import resize_antialiased, resize_corner_aligned

SIDE = 416
SIZES = ((300, 200), (768, 576), (1920, 1080), (4000, 3000))
ROUNDS = 31


def _opencv(image: NDArray[np.uint8], width: int, height: int) -> object:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


CANDIDATES: dict[str, Callable[[NDArray[np.uint8], int, int], object]] = {
    "darknet": resize_corner_aligned,
    "Pillow": resize_antialiased,
    "OpenCV": _opencv,
}


def measure(image: NDArray[np.uint8]) -> dict[str, float]:
    """Return the median milliseconds of each candidate, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for _ in range(ROUNDS):
        for name, resize in CANDIDATES.items():
            start = time.perf_counter()
            resize(image, SIDE, SIDE)
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    cv2.setNumThreads(1)
    print(heading("Placing images, ms, 1 thread", "numpy", "pillow", "opencv-python-headless"))
    print(f"| image -> {SIDE}x{SIDE} | {' | '.join(CANDIDATES)} |")
    print("|---|" + "---|" * len(CANDIDATES))
    random = np.random.default_rng(0)
    for width, height in SIZES:
        times = measure(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        print(f"| {width}x{height} | {' | '.join(f'{value:.2f}' for value in times.values())} |")


if __name__ == "__main__":
    main()

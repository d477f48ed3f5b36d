"""Detection in processes without a server: images a second, one after the other in each.

``python -m tests.benchmarks.serve.in_process IMAGE`` loads the model, says so, and for each line with a number of
seconds prints the images a second of so long, and the processor time of each.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Self

from tests.benchmarks.serve.peers.detector import MODEL, THREADS, Detector


class InProcess:
    """Processes that are loaded and wait, each with so many threads, until the end of a with block."""

    def __init__(self, image: Path, model: Path, *, processes: int, threads: int) -> None:
        self.at_once = processes
        self.name = f"in process, {processes} x {threads} threads"
        environment = {**os.environ, MODEL: str(model), THREADS: str(threads)}
        command = [sys.executable, "-m", f"{__package__}.in_process", str(image)]
        pipe = subprocess.PIPE
        self._processes = [
            subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) for _ in range(processes)
        ]
        for process in self._processes:
            _stream(process.stdout).readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            _stream(process.stdin).close()
            process.wait(10)
            _stream(process.stdout).close()

    def rate(self, duration_s: float) -> tuple[float, float]:
        """Return images a second of all processes at once, and the milliseconds of processor time of an image."""
        for process in self._processes:
            _stream(process.stdin).write(f"{duration_s}\n")
            _stream(process.stdin).flush()
        lines = [_stream(process.stdout).readline().split() for process in self._processes]
        return sum(float(rate) for rate, _ in lines), statistics.fmean(float(cpu_ms) for _, cpu_ms in lines)


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def main(image: Path) -> None:
    detector, data = Detector(), image.read_bytes()
    detector(data)
    print("ready", flush=True)
    for line in sys.stdin:
        begun, cpu, count = time.perf_counter(), time.process_time(), 0
        while (passed := time.perf_counter() - begun) < float(line):
            detector(data)
            count += 1
        print(count / passed, 1e3 * (time.process_time() - cpu) / count, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

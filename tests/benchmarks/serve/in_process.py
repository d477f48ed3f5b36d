"""Detection in a process, without a server: images a second, one after the other.

``python -m tests.benchmarks.serve.in_process IMAGE SECONDS`` prints that of one process; ``rate`` is that of several.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.serve.peers.detector import MODEL, THREADS, Detector


def rate(image: Path, duration_s: float, model: Path, *, processes: int, threads: int) -> float:
    """Return images a second of several processes together, each with so many threads."""
    environment = {**os.environ, MODEL: str(model), THREADS: str(threads)}
    command = [sys.executable, "-m", "tests.benchmarks.serve.in_process", str(image), str(duration_s)]
    running = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in running)


def main(image: Path, duration_s: float) -> None:
    """Say that the model is loaded, wait for a line, and print images a second."""
    detector, data = Detector(), image.read_bytes()
    detector(data)
    print("ready", flush=True)
    sys.stdin.readline()
    begun, count = time.perf_counter(), 0
    while (now := time.perf_counter()) - begun < duration_s:
        detector(data)
        count += 1
    print(count / (now - begun))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))

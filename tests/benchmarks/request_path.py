"""What the service adds to detection in process: ``python -m tests.benchmarks.request_path``; about two minutes.

Rates, latencies, processor time per image and memory of one service and of the same calls without a server, in turns;
a large JPEG beside a small one; /health/live under full load. Processor time tells more than rates where other programs
run, and leaves the client out.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.report import heading
from tests.benchmarks.serve.__main__ import default_model, free_port, started
from tests.benchmarks.serve.in_process import InProcess
from tests.benchmarks.serve.peers.detector import MODEL, THREADS, Detector
from tests.benchmarks.serve.processes import Program, family
from yoloscope.app.load_generator import Load, LoadResult, Target, measure

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_TYPE = {"Content-Type": "image/jpeg"}
SMALL, LARGE = (768, 576), (4000, 3000)


@dataclass
class Loaded:
    """Results of one load, one of each kind per round."""

    results: list[LoadResult] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    live_ms: list[float] = field(default_factory=list)


def photo(size: tuple[int, int]) -> bytes:
    """Return a JPEG of smooth color with grain, as photos have it: some 160 kB at 768x576."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = random.normal(0, 9, (size[1], size[0], 1))
    levels = np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=85)
    return file.getvalue()


def cpu_s(program: Program) -> float:
    """Return the processor time of a program and of all below it."""
    total = 0
    for pid in family(program.process.pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * _TICK_S


async def probe_live(port: int, delays_ms: list[float]) -> None:
    """Ask /health/live five times a second until canceled."""
    while True:
        begun = time.perf_counter()
        _, writer = connection = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await connection[0].read()
        delays_ms.append((time.perf_counter() - begun) * 1e3)
        writer.close()
        await asyncio.sleep(0.2)


async def loaded(program: Program, port: int, image: bytes, connections: int, duration_s: float, row: Loaded) -> None:
    """Put a load on the service and note what it took; /health/live is asked meanwhile."""
    target = Target(f"http://127.0.0.1:{port}/v1/detect", [image], _TYPE)
    probing = asyncio.create_task(probe_live(port, row.live_ms))
    before = cpu_s(program)
    result = await measure(target, Load(connections=connections), duration_s)
    row.cpu_ms.append((cpu_s(program) - before) * 1e3 / max(1, len(result.latencies_s)))
    row.results.append(result)
    probing.cancel()


def in_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of calls that are made in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 2):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            if number >= 2:
                times[name].append((time.perf_counter() - begun) * 1e3)
    return times


def sender(port: int, image: bytes) -> Callable[[], object]:
    """Return a call that sends an image over a connection that is kept, and reads the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def send() -> bytes:
        connection.request("POST", "/v1/detect", image, _TYPE)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise SystemExit(f"expected status 200, got {response.status}: {answer[:500]!r}")
        return answer

    return send


def print_calls(options: argparse.Namespace, port: int, images: Sequence[bytes]) -> None:
    """Print the medians of single requests and of the same calls in process, made in turns."""
    os.environ |= {MODEL: str(options.model), THREADS: str(options.threads)}
    detector = Detector()
    small, large = images
    calls: dict[str, Callable[[], object]] = {
        "in process, small": lambda: detector(small),
        "request, small": sender(port, small),
        "in process, large": lambda: detector(large),
        "request, large": sender(port, large),
    }
    times = in_turns(calls, options.calls)
    print(f"\n| one at a time, {options.calls} calls in turns | median ms | quarter ms | least ms |\n|---|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.1f} | {np.quantile(values, 0.25):.1f} | {min(values):.1f} |")
    pairs = {"the service adds": ("request, small", "in process, small")}
    pairs["the large JPEG adds"] = ("request, large", "request, small")
    for text, (more, less) in pairs.items():
        added = [one - other for one, other in zip(times[more], times[less], strict=True)]
        least = min(times[more]) - min(times[less])
        print(f"| {text} | {statistics.median(added):.1f} | {np.quantile(added, 0.25):.1f} | {least:.1f} |")


def print_loads(rows: dict[int, Loaded], alone: dict[str, list[tuple[float, float]]]) -> None:
    """Print rates as ratios to the best arrangement in process, latencies and processor time."""
    best = max(statistics.median(rate for rate, _ in measured) for measured in alone.values())
    print("| | images/s (of the best in process) | p50 / p99 ms | CPU ms an image | /health/live p99 ms |")
    print("|---|---|---|---|---|")
    for name, measured in alone.items():
        rate, cpu_ms = (statistics.median(values) for values in zip(*measured, strict=True))
        print(f"| {name} | {rate:.1f} ({rate / best:.2f}) | | {cpu_ms:.1f} | |")
    for connections, row in rows.items():
        rate = statistics.median(result.throughput for result in row.results)
        p50, p99 = (statistics.median(r.percentile_ms(percent) or 0 for r in row.results) for percent in (50, 99))
        print(
            f"| {connections} connections | {rate:.1f} ({rate / best:.2f}) | {p50:.0f} / {p99:.0f} |"
            f" {statistics.median(row.cpu_ms):.1f} | {np.quantile(row.live_ms, 0.99):.1f} |"
        )


def run(options: argparse.Namespace, folder: Path) -> None:
    options.model = options.model or default_model(folder, options.shared)
    images = photo(SMALL), photo(LARGE)
    (folder / "image.jpg").write_bytes(images[0])
    port = free_port()
    words = ["-m", "yoloscope.app.cli", "serve", "--model", str(options.model), "--provider", "cpu"]
    words += ["--threads", str(options.threads), "--port", str(port)]
    environment = {**os.environ, "YOLOSCOPE_PRECISION": "fp32", "YOLOSCOPE_KEEP_ALIVE_S": "600"}
    print(heading(f"yoloscope serve, {options.model.name}, {options.threads} threads", "onnxruntime-gpu"))
    print(f"JPEGs of {len(images[0]) // 1024} and {len(images[1]) // 1024} kB; load average {os.getloadavg()[0]:.1f}\n")
    rows: dict[int, Loaded] = {count: Loaded() for count in options.connections}
    alone: dict[str, list[tuple[float, float]]] = {}
    with ExitStack() as running:
        program = running.enter_context(Program([sys.executable, *words], environment, folder / "serve.log"))
        in_processes = [
            running.enter_context(InProcess(folder / "image.jpg", options.model, processes=processes, threads=threads))
            for processes, threads in ((1, options.threads), (options.threads, 1))
        ]
        started(program, Target(f"http://127.0.0.1:{port}/v1/detect", [images[0]], _TYPE))
        memory = [program.memory()]
        for _ in range(options.rounds):
            for each in in_processes:
                alone.setdefault(each.name, []).append(each.rate(options.duration))
            for connections, row in rows.items():
                asyncio.run(loaded(program, port, images[0], connections, options.duration, row))
            memory.append(program.memory())
        print_loads(rows, alone)
        print_calls(options, port, images)
        memory.append(program.memory())
    print("\nMiB (RSS / PSS) at the start, after each round and at the end: ", end="")
    print(", ".join(f"{item.rss:.0f} / {item.pss:.0f}" for item in memory))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="artifact; default: yolov4-tiny")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that has oracles/weights")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--duration", type=float, default=4.0, help="seconds of each load")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        run(options, Path(folder))


if __name__ == "__main__":
    main()

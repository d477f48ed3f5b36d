"""yoloscope serve beside FastAPI, LitServe, Mosec, BentoML and Ray Serve: ``make bench-serve``.

All have the same artifact, the same decoding and resizing, the same threads and the same JPEG; the answer of each is
compared before it is measured. In each round every arrangement is started, measured and stopped in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.report import heading
from tests.benchmarks.serve import in_process
from tests.benchmarks.serve.arrangements import OURS, Server, servers
from tests.benchmarks.serve.processes import Memory, Program
from yoloscope.app.commands.bench import generated_image
from yoloscope.app.hub import ensure_model
from yoloscope.app.load_generator import Load, LoadResult, Target, measure, probe
from yoloscope.app.settings import Settings
from yoloscope.models.registry import build
from yoloscope.training.export.onnx import export_onnx

START_S = 120.0
TOLERANCE_SCORE, TOLERANCE_PX = 1e-3, 0.5


@dataclass
class Figures:
    """Figures of one arrangement, one of each kind per round."""

    loads: dict[int, list[LoadResult]] = field(default_factory=dict)
    cold_start_s: list[float] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)

    def rate(self, connections: int) -> float:
        return statistics.median(result.throughput for result in self.loads[connections])

    def latency_ms(self, connections: int, percent: float) -> float:
        return statistics.median(result.percentile_ms(percent) or 0 for result in self.loads[connections])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def detections(answer: bytes) -> list[tuple[int, float, list[float]]]:
    """Return class, score and corners of each detection of an answer, ours or a peer's."""
    document = json.loads(answer)
    found = document["results"][0]["detections"] if "results" in document else document["detections"]
    boxes = (item["box"] if isinstance(item["box"], list) else list(item["box"].values()) for item in found)
    return [(item["class_id"], item["score"], box) for item, box in zip(found, boxes, strict=True)]


def require_equal(name: str, answer: bytes, expected: bytes) -> None:
    """Stop where two answers differ in a class, or by more than rounding in a score or a box."""
    got, wanted = detections(answer), detections(expected)
    same = [row[0] for row in got] == [row[0] for row in wanted] and all(
        abs(one[1] - other[1]) <= TOLERANCE_SCORE and np.allclose(one[2], other[2], rtol=0, atol=TOLERANCE_PX)
        for one, other in zip(got, wanted, strict=True)
    )
    if not same:
        raise SystemExit(f"{name} answers otherwise than the others: expected {wanted}, got {got}")


def started(program: Program, target: Target) -> tuple[float, bytes]:
    """Return the seconds from the start to the first answer, and that answer."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < START_S and program.process.poll() is None:
        try:
            status, body = asyncio.run(probe(target))
        except (OSError, TimeoutError):
            status, body = 0, b""
        if status == 200:
            return time.perf_counter() - begun, body
        time.sleep(0.02)
    raise SystemExit(f"no answer from {program.process.args!r}:\n{program.log.read_text()[-3000:]}")


def measure_server(
    server: Server, options: argparse.Namespace, image: bytes, figures: Figures, expected: bytes | None
) -> bytes:
    """Start a server, compare its answer with the expected one, measure it, stop it, and return its answer."""
    port, body = free_port(), server.body(image)
    target = Target(
        f"http://127.0.0.1:{port}{server.path}", [body.data], {"Content-Type": body.content_type}, timeout_s=30
    )
    environment = server.environment(port, options.model, options.threads)
    log = Path(tempfile.gettempdir()) / f"bench-serve-{server.name.split()[0].lower()}.log"
    with Program(server.command(port, options.peers), environment, log) as program:
        seconds, answer = started(program, target)
        require_equal(server.name, answer, expected or answer)
        figures.cold_start_s.append(seconds)
        for connections in options.connections:
            result = asyncio.run(measure(target, Load(connections=connections), options.duration))
            figures.loads.setdefault(connections, []).append(result)
        figures.memory.append(program.memory())
    return answer


def print_table(
    options: argparse.Namespace, all_figures: dict[str, Figures], without_server: dict[str, list[float]]
) -> None:
    """Print the medians of the rounds, with ratios to the best peer and to the best arrangement without a server."""
    alone = {name: statistics.median(rates) for name, rates in without_server.items()}
    peers = [figures for name, figures in all_figures.items() if not name.startswith(OURS)]
    best_peer = {count: max((peer.rate(count) for peer in peers), default=np.nan) for count in options.connections}
    best_alone = max(alone.values())
    print(heading(f"yoloscope serve beside peers, {options.model.name}, {options.threads} threads", "onnxruntime-gpu"))
    print(f"{options.rounds} rounds of {options.duration:g} s; requests/s (of the best peer, of the best in process)")
    loads = "".join(f" {count} r/s | p50 / p99 ms |" for count in options.connections)
    print(f"| | cold start s | RSS / PSS MiB |{loads} errors |")
    print("|---|---|---|" + "---|---|" * len(options.connections) + "---|")
    for name, rate in alone.items():
        print(f"| {name} | | |" + f" {rate:.1f} | |" * len(options.connections) + " |")
    for name, figures in all_figures.items():
        rss, pss = (statistics.median(getattr(memory, kind) for memory in figures.memory) for kind in ("rss", "pss"))
        row = f"| {name} | {statistics.median(figures.cold_start_s):.1f} | {rss:.0f} / {pss:.0f} |"
        for count in options.connections:
            rate = figures.rate(count)
            row += f" {rate:.1f} ({rate / best_peer[count]:.2f}, {rate / best_alone:.2f}) |"
            row += f" {figures.latency_ms(count, 50):.0f} / {figures.latency_ms(count, 99):.0f} |"
        errors = sum(sum(result.errors.values()) for results in figures.loads.values() for result in results)
        print(f"{row} {errors} |")


def default_model(folder: Path, shared: Path) -> Path:
    """Convert the official yolov4-tiny where its weights are at hand, else export an untrained one."""
    weights = shared / "oracles" / "weights"
    if weights.is_dir():
        return ensure_model(Settings(model="yolov4-tiny", models_dir=folder, weights=weights), print)
    torch.manual_seed(0)
    network = build("yolov4-tiny").eval()
    export_onnx(network, network.spec, folder / "yolov4-tiny-untrained.onnx")
    return folder / "yolov4-tiny-untrained.onnx"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers"), help="environment of the peers")
    parser.add_argument("--model", type=Path, help="artifact; default: yolov4-tiny")
    parser.add_argument("--image", type=Path, help="JPEG; default: dog.jpg of darknet, or a generated one")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that has oracles/weights")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--duration", type=float, default=5.0, help="seconds of each load")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--only", nargs="+", help="names of servers")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, folder: Path) -> None:
    options.model = options.model or default_model(folder, options.shared)
    photo = options.shared / "oracles" / "images" / "dog.jpg"
    image = options.image or (photo if photo.is_file() else folder / "image.jpg")
    if not image.exists():
        image.write_bytes(generated_image())
    chosen = [
        server for server in servers(options.model, options.threads) if server.name in (options.only or server.name)
    ]
    all_figures = {server.name: Figures() for server in chosen}
    in_processes = partial(in_process.rate, image, options.duration, options.model)
    alone = {
        f"in process, {processes} x {threads} threads": partial(in_processes, processes=processes, threads=threads)
        for processes, threads in ((1, options.threads), (options.threads, 1))
    }
    without_server: dict[str, list[float]] = {name: [] for name in alone}
    answer: bytes | None = None
    for number in range(options.rounds):
        for name, measured in alone.items():
            without_server[name].append(measured())
        for server in chosen[number:] + chosen[:number]:
            answer = measure_server(server, options, image.read_bytes(), all_figures[server.name], answer)
    print_table(options, all_figures, without_server)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        run(options, Path(folder))


if __name__ == "__main__":
    main()

"""yoloscope serve beside FastAPI, LitServe, Mosec, BentoML and Ray Serve: ``make bench-serve``.

All have the same artifact, the same decoding and resizing, the same threads and the same JPEG; the answer of each is
compared before any is measured. All are started one after the other, stay, and take turns: short loads next to each
other make ratios that other work on the machine does not touch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import torch

from tests.benchmarks.serve.arrangements import Server, servers
from tests.benchmarks.serve.in_process import InProcess
from tests.benchmarks.serve.processes import Program
from tests.benchmarks.serve.table import Alone, Figures, print_table
from yoloscope.app.commands.bench import generated_image
from yoloscope.app.hub import ensure_model
from yoloscope.app.load_generator import Load, Target, measure, probe
from yoloscope.app.settings import Settings
from yoloscope.models.registry import build
from yoloscope.training.export.onnx import export_onnx

START_S = 120.0
TOLERANCE_SCORE, TOLERANCE_PX = 1e-3, 0.5


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


def wait_for_variant(program: Program, base: str, name: str) -> None:
    """Wait until the service has made a faster variant of its model and swapped to it."""
    while program.process.poll() is None:
        precision = httpx.get(f"{base}/v1/models/{name}").json()["precision"]
        if precision["state"] in {"ready", "failed"}:
            print(f"variant: {precision['running']} in {precision['engine']}, {precision['reason']}")
            return
        time.sleep(1)
    raise SystemExit(f"the service ended:\n{program.log.read_text()[-3000:]}")


@dataclass
class Running:
    """A server that runs, and its figures."""

    server: Server
    program: Program
    target: Target
    figures: Figures

    def measure(self, connections: int, duration_s: float) -> None:
        """Put a load on it."""
        cpu_s = self.program.cpu_s()
        result = asyncio.run(measure(self.target, Load(connections=connections), duration_s))
        cpu_ms = 1e3 * (self.program.cpu_s() - cpu_s) / (len(result.latencies_s) or 1)
        self.figures.cpu_ms.setdefault(connections, []).append(cpu_ms)
        self.figures.loads.setdefault(connections, []).append(result)


def start(server: Server, options: argparse.Namespace, image: bytes, stack: ExitStack) -> tuple[Running, bytes]:
    """Start a server, which runs until the stack is left, and return it with its answer."""
    port, body = free_port(), server.body(image)
    base = f"http://127.0.0.1:{port}"
    target = Target(f"{base}{server.path}", [body.data], {"Content-Type": body.content_type}, timeout_s=30)
    environment = server.environment(port, options.model, options.threads)
    log = Path(tempfile.gettempdir()) / f"bench-serve-{port}.log"
    stack.callback(log.unlink)
    program = stack.enter_context(Program(server.command(port, options.peers), environment, log))
    seconds, answer = started(program, target)
    if server.prepares:
        wait_for_variant(program, base, options.model.stem)
    return Running(server, program, target, Figures(seconds)), answer


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
    parser.add_argument("--calibration", type=Path, help="images for the variant that the service chooses itself")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of each load")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--only", nargs="+", help="names of servers")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, folder: Path) -> None:
    options.model = options.model or default_model(folder, options.shared)
    photo = options.shared / "oracles" / "images" / "dog.jpg"
    image = options.image or (photo if photo.is_file() else folder / "image.jpg")
    if not image.exists():
        image.write_bytes(generated_image())
    everyone = servers(options.model, options.threads, options.calibration)
    chosen = [server for server in everyone if not options.only or server.name in options.only]
    with ExitStack() as stack:
        running: list[Running] = []
        expected: bytes | None = None
        for server in chosen:
            one, answer = start(server, options, image.read_bytes(), stack)
            expected = expected or answer
            require_equal(server.name, answer, expected)
            running.append(one)
        alone = [
            stack.enter_context(InProcess(image, options.model, processes=processes, threads=threads))
            for processes, threads in ((1, options.threads), (options.threads, 1))
        ]
        counts = options.connections
        found = {one.name: Alone(one.at_once, {n: [] for n in counts}, {n: [] for n in counts}) for one in alone}
        for number in range(options.rounds):
            for connections in counts:
                for without in alone:
                    rate, cpu_ms = without.rate(options.duration)
                    found[without.name].rates[connections].append(rate)
                    found[without.name].cpu_ms[connections].append(cpu_ms)
                turn = number % len(running)
                for one in running[turn:] + running[:turn]:
                    one.measure(connections, options.duration)
        for one in running:
            one.figures.memory = one.program.memory()
    print_table(options, {one.server.name: one.figures for one in running}, found)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and stop the servers
    with tempfile.TemporaryDirectory() as folder:
        run(options, Path(folder))


if __name__ == "__main__":
    main()

"""Mixed load for a long time: how fast does memory grow once the service is warm?

Images of changing sizes and formats, several in a request, scores, tensors, drawn answers, wrong requests, clients that
leave, connections that are kept or not. The slope is that of a line through the resident set, sampled every five
seconds, without the first fifth, and of the second half alone.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.report import heading
from tests.reliability.load import Connection, Request, photo
from tests.reliability.service import Service, running

SAMPLE_S = 5.0
_KINDS = ("photo", "photo", "photo", "png", "several", "drawn", "score", "tensors", "json", "wrong", "leaves", "read")


@dataclass(frozen=True)
class Sample:
    """The process at one time."""

    minutes: float
    memory_mib: float
    descriptors: int
    threads: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a service under mixed load and watch its memory.")
    parser.add_argument("--minutes", type=float, default=60, help="(default 60)")
    parser.add_argument("--rate", type=float, default=10, help="requests a second (default 10)")
    parser.add_argument("--model", default="builtin", help="name or path (default: builtin)")
    arguments = parser.parse_args()
    title = f"Soak: {arguments.minutes:g} minutes of mixed load at {arguments.rate:g} requests/s, {arguments.model}"
    print(heading(title, "onnxruntime-gpu"), flush=True)
    with running(YOLOSCOPE_MODEL=arguments.model) as service:
        samples, statuses = asyncio.run(soak(service, arguments.minutes * 60, arguments.rate))
    warm = [sample for sample in samples if sample.minutes >= arguments.minutes / 5]
    late = [sample for sample in samples if sample.minutes >= arguments.minutes / 2]
    for sample in samples[:: max(1, len(samples) // 12)]:
        print(f"{sample.minutes:6.1f} min {sample.memory_mib:7.1f} MiB {sample.descriptors:4} descriptors", end="")
        print(f" {sample.threads:3} threads")
    print(f"statuses {dict(sorted(statuses.items()))}")
    ends = [np.mean([s.memory_mib for s in part]) for part in np.array_split(np.array(warm, object), 4)]
    print(f"means of the quarters after warm-up: {', '.join(f'{mean:.1f}' for mean in ends)} MiB")
    print(f"slope after the first fifth: {slope(warm):+.2f} MiB an hour; of the second half: {slope(late):+.2f}")
    sys.exit(any(status >= 500 for status in statuses))


def slope(samples: list[Sample]) -> float:
    """Return the MiB an hour of a line through the memory of samples."""
    return float(np.polyfit([s.minutes / 60 for s in samples], [s.memory_mib for s in samples], 1)[0])


async def soak(service: Service, seconds: float, rate: float) -> tuple[list[Sample], Counter[int]]:
    """Send the mix at a rate; return the samples, and how often each status came (0: the client left)."""
    samples: list[Sample] = []
    statuses: Counter[int] = Counter()
    idle: list[Connection] = []
    rng = random.Random(1)
    tasks: set[asyncio.Task[None]] = set()

    async def one(kind: str, request: Request) -> None:
        connection = idle.pop() if idle and rng.random() < 0.7 else Connection()
        answer = await connection.send(request, 0.02 if kind == "leaves" else 60)
        statuses[answer.status] += 1
        if answer.status and len(idle) < 8:
            idle.append(connection)
        else:
            connection.close()

    start = next_sample = time.perf_counter()
    mix = _mix(service, rng)
    for index in itertools.count():
        now = time.perf_counter()
        if now - start > seconds:
            break
        if now >= next_sample:
            samples.append(_sample(service, (now - start) / 60))
            next_sample += SAMPLE_S
        await asyncio.sleep(max(0.0, start + index / rate - now))
        task = asyncio.create_task(one(*next(mix)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return samples, statuses


def _sample(service: Service, minutes: float) -> Sample:
    lines = Path(f"/proc/{service.pid}/status").read_text().splitlines()
    threads = next(int(line.split()[1]) for line in lines if line.startswith("Threads"))
    return Sample(minutes, service.memory_mib(), service.descriptors(), threads)


def _mix(service: Service, rng: random.Random) -> Iterator[tuple[str, Request]]:
    """Yield requests of changing kinds for ever; the images are made beforehand."""
    sizes = [(rng.randrange(64, 1600), rng.randrange(64, 1200)) for _ in range(24)]
    photos = [photo(max(64, width), max(64, height)) for width, height in sizes]
    pngs = [_png(width // 2 + 32, height // 2 + 32) for width, height in sizes]
    for kind in itertools.cycle(rng.sample(_KINDS, len(_KINDS))):
        yield kind, _request(service.url, kind, rng.choice(photos), rng.choice(pngs))


def _request(url: str, kind: str, jpeg: bytes, png: bytes) -> Request:
    form = "multipart/form-data; boundary=edge"
    posts = {
        "png": ("/v1/detect?format=coco", png, "image/png"),
        "several": ("/v1/detect", _form([("image", jpeg), ("image", png)]), form),
        "score": ("/v1/score", _form([("image", jpeg), ("labels", b"0 .5 .5 .3 .3\n")]), form),
        "tensors": ("/v2/models/builtin_detect/infer", _tensors(jpeg), "application/json"),
        "json": ("/v1/detect", json.dumps({"image": base64.b64encode(jpeg).decode()}).encode(), "application/json"),
        "wrong": ("/v1/detect?score_threshold=2", jpeg[: len(jpeg) // 2], "image/jpeg"),
    }
    if kind == "read":
        return Request.get(url, "/metrics")
    request = Request.post(url, *posts.get(kind, ("/v1/detect", jpeg, "image/jpeg")))
    if kind == "drawn":
        data = request.head_and_body.replace(b"Host", b"Accept: image/jpeg\r\nHost", 1)
        return Request(request.host, request.port, data)
    return request


def _form(parts: list[tuple[str, bytes]]) -> bytes:
    head = 'Content-Disposition: form-data; name="{0}"; filename="{0}"'
    body = b"".join(b"--edge\r\n%s\r\n\r\n%s\r\n" % (head.format(name).encode(), data) for name, data in parts)
    return body + b"--edge--\r\n"


def _tensors(jpeg: bytes) -> bytes:
    data = [base64.b64encode(jpeg).decode()]
    tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


def _png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()

"""Requests at a rate (open loop) or one after the other on each connection (closed loop), each with its times."""

from __future__ import annotations

import asyncio
import io
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image


@dataclass(frozen=True)
class Answer:
    """What became of one request; status 0: its connection broke before the answer."""

    status: int
    sent_at: float
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Request:
    """The bytes of a request, and the address that they go to."""

    host: str
    port: int
    head_and_body: bytes

    @classmethod
    def post(cls, url: str, path: str, body: bytes, kind: str = "image/jpeg") -> Request:
        """Return a POST to a service at ``url`` (``http://host:port``)."""
        head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        return cls(*address(url), head.encode() + body)

    @classmethod
    def get(cls, url: str, path: str) -> Request:
        """Return a GET."""
        return cls(*address(url), f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())


def address(url: str) -> tuple[str, int]:
    """Return host and port of ``http://host:port``."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


class Connection:
    """One connection that is kept alive, opened when it is first used and again where the other side closed it."""

    def __init__(self) -> None:
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._to: tuple[str, int] | None = None

    async def send(self, request: Request, timeout_s: float = 120.0) -> Answer:
        """Send a request and return its answer."""
        start = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_s):
                status, headers, body = await self._exchange(request)
        except (OSError, EOFError, TimeoutError):
            self.close()
            return Answer(0, start, time.perf_counter() - start)
        return Answer(status, start, time.perf_counter() - start, headers, body)

    async def open(self, request: Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the connection that a request needs, unless it is there."""
        to = (request.host, request.port)
        if self._streams is None or self._to != to or self._streams[0].at_eof():
            self.close()
            self._streams, self._to = await asyncio.open_connection(*to), to
        return self._streams

    async def _exchange(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        reader, writer = await self.open(request)
        writer.write(request.head_and_body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        return int(head[0].split()[1]), headers, body

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def closed_loop(requests: Sequence[Request], connections: int, seconds: float) -> list[Answer]:
    """Keep each connection busy with one request after the other, the given ones in turn."""
    until = time.perf_counter() + seconds
    answers: list[Answer] = []

    async def worker(first: int) -> None:
        connection = Connection()
        turn = first
        while time.perf_counter() < until:
            answers.append(await connection.send(requests[turn % len(requests)]))
            if answers[-1].status == 0:
                await asyncio.sleep(0.01)
            turn += 1
        connection.close()

    await asyncio.gather(*(worker(index) for index in range(connections)))
    return answers


async def open_loop(requests: Sequence[Request], rate: float, seconds: float) -> list[Answer]:
    """Send ``rate`` requests a second, whatever becomes of those before, over as many connections as that takes."""
    idle: list[Connection] = []
    answers: list[Answer] = []
    tasks: set[asyncio.Task[None]] = set()

    async def one(request: Request) -> None:
        connection = idle.pop() if idle else Connection()
        answers.append(await connection.send(request))
        idle.append(connection)

    start = time.perf_counter()
    for index in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, start + index / rate - time.perf_counter()))
        task = asyncio.create_task(one(requests[index % len(requests)]))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for connection in idle:
        connection.close()
    return answers


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def rate_of(answers: Sequence[Answer], status: int = 200) -> float:
    """Return the answers of a status in a second, from the first request to the last of these answers."""
    ends = [answer.sent_at + answer.seconds for answer in answers if answer.status == status]
    return len(ends) / (max(ends) - min(answer.sent_at for answer in answers)) if ends else 0.0


def statuses(answers: Sequence[Answer]) -> dict[int, int]:
    """Return how often each status came."""
    return dict(sorted(Counter(answer.status for answer in answers).items()))


def median_ms(answers: Sequence[Answer]) -> float:
    """Return the median time of answers in milliseconds."""
    return statistics.median(answer.seconds for answer in answers) * 1e3 if answers else float("nan")


def p99_ms(answers: Sequence[Answer]) -> float:
    """Return the 99th percentile of the times of answers in milliseconds."""
    return percentile([answer.seconds for answer in answers], 99) * 1e3


def photo(width: int = 768, height: int = 576) -> bytes:
    """Return a JPEG with the detail of a photo, some 160 kB at the default size."""
    coarse = Image.effect_noise((width // 16, height // 16), 100).resize((width, height), Image.Resampling.BICUBIC)
    fine = Image.effect_noise((width, height), 30)
    buffer = io.BytesIO()
    Image.blend(coarse, fine, 0.5).convert("RGB").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()

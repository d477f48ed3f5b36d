"""Load generator: images to a running service at a fixed rate, or over connections that wait for each answer."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import cycle
from math import ceil
from typing import Final, Self

import aiohttp

_LARGE: Final = 2**20
_OTHER_FILES: Final = 64
_MOST_CONNECTIONS: Final = 10_000
_IDLE_S: Final = 3.0
"""After which a connection is not used again: servers that close it then would meet a request on its way."""
_PAUSE_S: Final = 0.1
"""After a connection that failed, so that a service that is gone is not called in a busy loop."""

NO_ANSWER: Final = "no valid answer"
NO_CONNECTION: Final = "no connection"
TIMEOUT: Final = "timeout"


@dataclass(frozen=True)
class Target:
    """Requests of a load: ``images`` in turns as bodies of POST, with a limit on the wait for each answer.

    ``is_answer`` judges the body of every answer with status 200.
    """

    url: str
    images: Sequence[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 30.0
    is_answer: Callable[[bytes], bool] = bool


@dataclass(frozen=True)
class Load:
    """Closed loop: ``connections`` that send when they have their answer. Open loop: ``rate`` requests a second.

    In the closed loop a slow service gets fewer requests. In the open one they come when they are due, and their
    latency counts from then, however late they could be sent: what waits in the client is not left out.
    """

    connections: int | None = None
    rate: float | None = None

    def __str__(self) -> str:
        if self.rate is not None:
            return f"{self.rate:g} requests/s"
        return f"{self.connections} connection{'' if self.connections == 1 else 's'}"


@dataclass
class LoadResult:
    """Latencies in seconds of the requests that were answered, and the number of others by status or reason.

    ``in_time`` answers came within the ``duration_s`` in which requests were sent, all within ``elapsed_s``. ``cpu`` is
    the share of one core that the client took: near 1 it is the client that was measured.
    """

    load: Load
    duration_s: float
    latencies_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    in_time: int = 0
    elapsed_s: float = 0.0
    cpu: float = 0.0

    @property
    def throughput(self) -> float:
        """Answers a second: in an open loop those in time, in a closed one all, until the last, which it waits for."""
        if self.load.rate is not None:
            return self.in_time / self.duration_s
        return len(self.latencies_s) / self.elapsed_s if self.elapsed_s else 0.0

    def problems(self) -> str:
        """Return in words what was refused or failed, empty if nothing."""
        return ", ".join(f"{number} x {problem}" for problem, number in sorted(self.errors.items()))

    def percentile_ms(self, percent: float) -> float | None:
        """Return the least latency in milliseconds that ``percent`` of the answers did not exceed; None without any."""
        if not self.latencies_s:
            return None
        return 1e3 * sorted(self.latencies_s)[ceil(percent / 100 * len(self.latencies_s)) - 1]


async def measure(
    target: Target, load: Load, duration_s: float, on_done: Callable[[], object] = lambda: None
) -> LoadResult:
    """Put a load on a service for a time and wait for the last answer; ``on_done`` is called after every request."""
    async with _Client(target, load.connections or most_connections()) as client:
        result, cpu, begun = LoadResult(load, duration_s), time.process_time(), time.perf_counter()
        end = begun + duration_s

        async def request(due: float) -> str | None:
            problem = await client.post()
            now = time.perf_counter()
            if problem is None:
                result.latencies_s.append(now - due)
                result.in_time += now <= end
            else:
                result.errors[problem] += 1
            on_done()
            return problem

        async def connection() -> None:
            while (now := time.perf_counter()) < end:
                if await request(now) == NO_CONNECTION:
                    await asyncio.sleep(_PAUSE_S)

        async with asyncio.TaskGroup() as tasks:
            if load.rate is None:
                for _ in range(load.connections or 1):
                    tasks.create_task(connection())
            else:
                for number in range(ceil(load.rate * duration_s)):
                    due = begun + number / load.rate
                    await asyncio.sleep(max(due - time.perf_counter(), 0))
                    tasks.create_task(request(due))
        result.elapsed_s = time.perf_counter() - begun
        result.cpu = (time.process_time() - cpu) / result.elapsed_s
    return result


def most_connections() -> int:
    """Return how many connections the limit on open files leaves."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(min(soft - _OTHER_FILES, _MOST_CONNECTIONS), 1)


async def probe(target: Target) -> tuple[int, bytes]:
    """Send one request; return the status and the body of its answer.

    Raises OSError or TimeoutError where there is no service, ValueError where the URL is none.
    """
    async with _Client(target, 1) as client:
        return await client.send(target.images[0])


class _Client:
    """Connections to the service, which are kept."""

    def __init__(self, target: Target, connections: int) -> None:
        self._target = target
        self._images = cycle(target.images)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=_IDLE_S),
            timeout=aiohttp.ClientTimeout(total=target.timeout_s),
            headers=target.headers,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, image: bytes) -> tuple[int, bytes]:
        data = BytesIO(image) if len(image) > _LARGE else image  # aiohttp warns of large bytes
        async with self._session.post(self._target.url, data=data) as response:
            return response.status, await response.read()

    async def post(self) -> str | None:
        """Send the next image; return None for an answer, else the status or what happened."""
        try:
            status, body = await self.send(next(self._images))
        except TimeoutError:
            return TIMEOUT
        except (aiohttp.ClientError, OSError):
            return NO_CONNECTION
        if status != 200:
            return str(status)
        return None if self._target.is_answer(body) else NO_ANSWER

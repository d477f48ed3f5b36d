"""500 slow connections beside healthy clients: what do those notice, and when are the slow ones closed?

Of the slow ones a third sends nothing, a third drips its head, a third its body. Rounds without and with them take
turns, so that each ratio is of one stretch of time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import time

from tests.benchmarks.report import heading
from tests.reliability.load import Answer, Request, address, closed_loop, median_ms, p99_ms, photo, statuses
from tests.reliability.service import Service, running, split_cpus

_HEAD = b"POST /v1/detect HTTP/1.1\r\nHost: test\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n"
_KINDS = ((b"", b""), (b"POST /v1/detect HTTP/1.1\r\nHost: test\r\nX-Slow: ", b"a"), (_HEAD + b"\r\n", b"\xff"))
"""What a slow connection sends at first, and then again and again."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure healthy clients beside slow connections.")
    parser.add_argument("--slow", type=int, default=500, help="slow connections (default 500)")
    parser.add_argument("--rounds", type=int, default=4, help="(default 4)")
    parser.add_argument("--seconds", type=float, default=6, help="of a round, each without and with them (default 6)")
    arguments = parser.parse_args()
    serving, sending = split_cpus()
    print(heading(f"{arguments.slow} slow connections beside 2 healthy clients", "uvicorn"))
    with running(cpus=serving) as service:
        os.sched_setaffinity(0, sending)
        asyncio.run(measure(service, arguments))
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


async def measure(service: Service, arguments: argparse.Namespace) -> None:
    """Print a line for each round, and the ratio of all."""
    request = Request.post(service.url, "/v1/detect", photo(320, 240))
    await closed_loop([request], 2, 2)
    alone: list[Answer] = []
    beside: list[Answer] = []
    memory = service.memory_mib()
    for _ in range(arguments.rounds):
        before = await closed_loop([request], 2, arguments.seconds)
        slow = [asyncio.create_task(_drip(service.url, kind)) for kind, _ in _kinds(arguments.slow)]
        await asyncio.sleep(1)
        during = await closed_loop([request], 2, arguments.seconds)
        closed = sum(task.done() for task in slow)
        held = service.memory_mib() - memory
        for task in slow:
            task.cancel()
        lived = [lived for lived in await asyncio.gather(*slow, return_exceptions=True) if isinstance(lived, float)]
        print(
            f"alone p50 {median_ms(before):6.1f} p99 {p99_ms(before):6.1f} ms, "
            f"beside them p50 {median_ms(during):6.1f} p99 {p99_ms(during):6.1f} ms {statuses(during)}; "
            f"{closed} closed meanwhile, after at most {max(lived, default=0):.1f} s; memory {held:+.0f} MiB"
        )
        alone += before
        beside += during
        await asyncio.sleep(1)
    print(f"p99 beside {arguments.slow} slow connections: {p99_ms(beside) / p99_ms(alone):.2f} of that alone")
    print(f"median: {median_ms(beside) / median_ms(alone):.2f}", end="; ")
    print(f"all rounds, {len(alone)} and {len(beside)} requests; ", end="")
    print(f"healthy requests that failed: {sum(answer.status != 200 for answer in beside)}")
    lived_s = await asyncio.gather(*(_drip(service.url, kind) for kind, _ in _kinds(30)))
    print(f"left alone, slow connections are closed after {min(lived_s):.1f} to {max(lived_s):.1f} s", end="")
    print(f" (median {statistics.median(lived_s):.1f} s)")


def _kinds(count: int) -> list[tuple[tuple[bytes, bytes], int]]:
    return list(zip(itertools.islice(itertools.cycle(_KINDS), count), range(count), strict=True))


async def _drip(url: str, kind: tuple[bytes, bytes]) -> float:
    """Send a byte a second until the other side closes; return the seconds that it took."""
    start = time.perf_counter()
    reader, writer = await asyncio.open_connection(*address(url))
    try:
        writer.write(kind[0])
        while True:
            try:
                async with asyncio.timeout(1):
                    if not await reader.read(4096):
                        break
            except TimeoutError:
                writer.write(kind[1])
            if time.perf_counter() - start > 60:
                break
    except OSError:
        pass
    finally:
        writer.close()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

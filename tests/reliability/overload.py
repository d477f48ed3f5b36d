"""Twice and five times as many requests as the service can answer: python -m tests.reliability.overload.

Peak (8 connections, closed loop) and overload (open loop) take turns, so that each ratio is of one stretch of time. The
service has all CPUs but one, which its clients have.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Sequence

from tests.benchmarks.report import heading
from tests.reliability.load import (
    Answer,
    Connection,
    Request,
    closed_loop,
    median_ms,
    open_loop,
    p99_ms,
    percentile,
    photo,
    rate_of,
    statuses,
)
from tests.reliability.service import running, split_cpus

_REFUSED = {429, 503}


def main() -> None:
    parser = argparse.ArgumentParser(description="Send more requests than a service can answer, and see what it does.")
    parser.add_argument("--model", default="builtin", help="name or path (default: builtin)")
    parser.add_argument("--size", default="256x192", help="of the JPEG that is sent (default: 256x192)")
    parser.add_argument("--seconds", type=float, default=6, help="of each phase (default 6)")
    parser.add_argument("--rounds", type=int, default=3, help="(default 3)")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    image = photo(width, height)
    serving, sending = split_cpus()
    print(heading(f"Overload: {arguments.model}, a JPEG of {len(image)} bytes", "uvicorn"))
    with running(cpus=serving, YOLOSCOPE_MODEL=arguments.model) as service:
        os.sched_setaffinity(0, sending)
        asyncio.run(measure(Request.post(service.url, "/v1/detect", image), arguments))
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


async def measure(request: Request, arguments: argparse.Namespace) -> None:
    """Print a line for each overload of each round, then how long the service needs to be as before."""
    seconds = arguments.seconds
    await closed_loop([request], 8, seconds / 2)
    before = await closed_loop([request], 8, seconds)
    ratios: dict[int, list[float]] = {2: [], 5: []}
    print(
        f"{'':6}{'peak/s':>8}{'sent/s':>8}{'good/s':>8}{'ratio':>7}  accepted p50, p99 ms   refused p50, p99, most ms"
    )
    for _ in range(arguments.rounds):
        for factor, found in ratios.items():
            peak = rate_of(before)
            answers = await open_loop([request], factor * peak, seconds)
            recovery = await recovered_after(request, median_ms(before) / 8)
            before = await closed_loop([request], 8, seconds)
            around = (peak + rate_of(before)) / 2
            found.append(rate_of(answers) / around)
            print(f"{factor} x   {around:8.1f}{factor * peak:8.1f}{rate_of(answers):8.1f}{found[-1]:7.2f}", end="")
            print(_times(answers), f" recovered after {recovery:.2f} s {statuses(answers)}")
    for factor, found in ratios.items():
        print(f"{factor} x: goodput {statistics.median(found):.3f} of the peak (median of {len(found)})")


def _times(answers: Sequence[Answer]) -> str:
    good = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status in _REFUSED]
    silent = [answer for answer in refused if not answer.headers.get("retry-after", "").isdigit()]
    most = percentile([answer.seconds for answer in refused], 100) * 1e3
    waits = sorted({answer.headers.get("retry-after", "") for answer in refused})
    return (
        f"{median_ms(good):9.0f}{p99_ms(good):9.0f}    {median_ms(refused):8.1f}{p99_ms(refused):8.1f}{most:8.1f}"
        f"  Retry-After {', '.join(waits)} s, missing {len(silent)}"
    )


async def recovered_after(request: Request, usual_ms: float) -> float:
    """Return the seconds until three requests in a row take at most three times what one alone usually takes."""
    start, connection, in_a_row = time.perf_counter(), Connection(), 0
    while in_a_row < 3:
        answer = await connection.send(request)
        quick = answer.status == 200 and answer.seconds * 1e3 <= 3 * usual_ms
        in_a_row = in_a_row + 1 if quick else 0
        if time.perf_counter() - start > 60:
            return float("inf")
    connection.close()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

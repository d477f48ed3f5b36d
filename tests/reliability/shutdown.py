"""SIGTERM under load: is every request that was taken answered, and when does the service exit?

Half of the clients detect, half ask for health; half of each keep their connections, half open one for each request.
A connection that is refused was not taken.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from subprocess import Popen

from tests.benchmarks.report import heading
from tests.reliability.load import Connection, Request, photo
from tests.reliability.service import running


def main() -> None:
    parser = argparse.ArgumentParser(description="Stop a service under load, and count what is lost.")
    parser.add_argument("--stops", type=int, default=5, help="services that are stopped (default 5)")
    parser.add_argument("--connections", type=int, default=32, help="(default 32)")
    arguments = parser.parse_args()
    print(heading(f"SIGTERM under load: {arguments.connections} connections, half of them kept alive", "uvicorn"))
    lost = 0
    for _ in range(arguments.stops):
        with running() as service:
            requests = [
                Request.post(service.url, "/v1/detect", photo(320, 240)),
                Request.get(service.url, "/health/live"),
            ]
            outcomes, exit_s, status = asyncio.run(stopped(requests, service.process, arguments.connections))
        lost += outcomes["lost"] + (status != 0) + (exit_s > 30)
        print(f"{dict(outcomes)}, exit status {status} after {exit_s:.2f} s")
    print(f"lost in {arguments.stops} stops: {lost}")
    sys.exit(bool(lost))


async def stopped(
    requests: Sequence[Request], process: Popen[str], connections: int
) -> tuple[Counter[str], float, int]:
    """Return what became of the requests, the seconds until the service was gone, and its exit status."""
    outcomes: Counter[str] = Counter()
    halt = asyncio.Event()

    async def client(request: Request, *, keeps: bool) -> None:
        connection = Connection()
        while True:
            try:
                await connection.open(request)
            except OSError:
                if halt.is_set():
                    return
                raise
            answer = await connection.send(request)
            when = " after the signal" if halt.is_set() else ""
            outcomes[f"{answer.status or 'lost'}{when if answer.status else ''}"] += 1
            if not keeps:
                connection.close()

    clients = [
        asyncio.create_task(client(requests[index % 2], keeps=index // 2 % 2 == 0)) for index in range(connections)
    ]
    await asyncio.sleep(1.5)
    process.terminate()
    halt.set()
    start = time.perf_counter()
    status = await asyncio.to_thread(process.wait, 60)
    exit_s = time.perf_counter() - start
    await asyncio.gather(*clients)
    return outcomes, exit_s, status


if __name__ == "__main__":
    main()

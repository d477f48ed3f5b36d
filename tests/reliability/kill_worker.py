"""kill -9 of the serving process under load: what fails, and when is the service back?

Clients at a fixed rate, each request over a connection of its own. What may fail is what was at work when the
process was killed: requests sent before the kill that had no answer yet, and those of the instant of the kill. Where
more have waited than the queue takes, the new process refuses some with 503 and Retry-After.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from tests.benchmarks.report import heading
from tests.reliability.load import Answer, Connection, Request, photo, statuses
from tests.reliability.service import Service, memory_mib, running

BACK_WITHIN_S = 5.0
INSTANT_S = 0.05
"""From the kill until the process is gone and takes no more connections."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill the serving process under load.")
    parser.add_argument("--kills", type=int, default=3, help="(default 3, which are deaths in a row)")
    parser.add_argument("--rate", type=float, default=15, help="requests a second (default 15)")
    arguments = parser.parse_args()
    print(heading(f"kill -9 of the serving process at {arguments.rate:g} requests/s", "uvicorn"))
    start = time.perf_counter()
    with running("--no-supervise"):
        alone_s = time.perf_counter() - start
    start = time.perf_counter()
    with running() as service:
        print(f"start until it listens: {time.perf_counter() - start:.2f} s, {alone_s:.2f} s without a supervisor")
        supervisor = service.process.pid
        private = sum(_private_kib(supervisor)) / 1024
        print(f"memory of the supervisor: {memory_mib(supervisor):.0f} MiB resident, {private:.0f} MiB of its own")
        failed = sum(asyncio.run(killed(service, arguments.rate)) for _ in range(arguments.kills))
        print("".join(line for line in service.log if "serving process" in line), end="")
    print(f"wrong in {arguments.kills} kills: {failed}")
    sys.exit(bool(failed))


async def killed(service: Service, rate: float) -> int:
    """Kill once, print what happened, and return how many requests failed that must not, and 1 more if it took long."""
    request = Request.post(service.url, "/v1/detect", photo(320, 240))
    answers: list[Answer] = []
    kill_at = back_at = 0.0
    tasks = []

    async def one() -> None:
        connection = Connection()
        answers.append(await connection.send(request))
        connection.close()

    start = time.perf_counter()
    for index in range(round(rate * 9)):
        await asyncio.sleep(max(0.0, start + index / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(one()))
        if not kill_at and time.perf_counter() - start > 2:
            os.kill(service.pid, signal.SIGKILL)
            kill_at = time.perf_counter()
    await asyncio.gather(*tasks)
    failed = [answer for answer in answers if answer.status not in {200, 503} or not _says_when(answer)]
    at_work = [a for a in answers if a.sent_at < kill_at + INSTANT_S and a.sent_at + a.seconds > kill_at]
    wrong = [answer for answer in failed if answer not in at_work]
    back_at = min(a.sent_at + a.seconds for a in answers if a.status == 200 and a.sent_at > kill_at)
    back_s = back_at - kill_at
    print(
        f"{statuses(answers)}: {len(failed)} failed of {len(at_work)} at work, {len(wrong)} others; "
        f"first answer {back_s:.2f} s after the kill, longest wait {max(a.seconds for a in answers):.2f} s"
    )
    return len(wrong) + (back_s > BACK_WITHIN_S)


def _says_when(answer: Answer) -> bool:
    return answer.status == 200 or "retry-after" in answer.headers


def _private_kib(pid: int) -> list[int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))]


if __name__ == "__main__":
    main()

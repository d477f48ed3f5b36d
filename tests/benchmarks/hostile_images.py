"""Send generated hostile images to a running service: python -m tests.benchmarks.hostile_images [COUNT].

Prints the slowest answers by kind (beside the wall clock the CPU time of the service, health among it, which a machine
with other work does not blur), the statuses, the largest resident set of the service and the slowest answer of its
health meanwhile. The service is started here with the built-in model and default settings.
"""

import argparse
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx

from tests.helpers.hostile_images import hostile_images


class Watch(multiprocessing.Process):
    """Asks for health ten times a second in a process of its own, which the making of images does not hold up."""

    def __init__(self, base: str) -> None:
        super().__init__(daemon=True)
        self.base, self.stop = base, multiprocessing.Event()
        self.found: multiprocessing.Queue[list[float]] = multiprocessing.Queue()

    def run(self) -> None:
        times = []
        with httpx.Client(timeout=60) as client:
            while not self.stop.wait(0.1):
                start = time.perf_counter()
                client.get(f"{self.base}/health/live")
                times.append(time.perf_counter() - start)
        self.found.put(times)


def peak_mib(pid: int) -> float:
    """The largest resident set that the process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def cpu_seconds(pid: int) -> float:
    """CPU time of the process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serving_process(supervisor: int) -> int:
    """The process that serves, a child of the one that was started."""
    (pid,) = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return int(pid)


def attack(base: str, pid: int, count: int) -> tuple[dict[str, list[tuple[float, float]]], Counter[int]]:
    """(wall, CPU) seconds of each answer by kind, and how often each status came."""
    times, statuses = defaultdict[str, list[tuple[float, float]]](list), Counter[int]()
    with httpx.Client(timeout=120) as client:
        for kind, data in hostile_images(count):
            cpu, start = cpu_seconds(pid), time.perf_counter()
            answer = client.post(
                f"{base}/v1/detect", content=data, headers={"content-type": "application/octet-stream"}
            )
            times[kind].append((time.perf_counter() - start, cpu_seconds(pid) - cpu))
            statuses[answer.status_code] += 1
    return times, statuses


def main() -> None:
    parser = argparse.ArgumentParser(description="Send generated hostile images to a service of its own.")
    parser.add_argument("count", type=int, nargs="?", default=1000, help="images (default 1000)")
    parser.add_argument("--port", type=int, default=8791, help="of the service (default 8791)")
    arguments = parser.parse_args()
    base = f"http://127.0.0.1:{arguments.port}"
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "YOLOSCOPE_MODELS_DIR": folder,
            "YOLOSCOPE_MODEL": "builtin",
            "YOLOSCOPE_LOG_LEVEL": "error",
        }
        command = [sys.executable, "-m", "yoloscope.app.cli", "serve", "--port", str(arguments.port)]
        service = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            _wait(base)
            pid = serving_process(service.pid)
            before = peak_mib(pid)
            watch = Watch(base)
            watch.start()
            times, statuses = attack(base, pid, arguments.count)
            watch.stop.set()
            answers = watch.found.get()
            watch.join()
            for kind, pairs in sorted(times.items(), key=lambda item: max(item[1]), reverse=True):
                wall, cpu = (max(column) for column in zip(*pairs, strict=True))
                print(f"{kind:24} {len(pairs):5} images, slowest {wall:6.3f} s, CPU at most {cpu:5.2f} s")
            print("statuses", dict(sorted(statuses.items())))
            print(f"resident at most {peak_mib(pid):.0f} MiB, {before:.0f} MiB before the first image")
            late = sum(seconds > 0.1 for seconds in answers)
            print(f"health: {len(answers)} answers, slowest {max(answers) * 1e3:.0f} ms, {late} over 100 ms")
            print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        finally:
            service.terminate()
            service.wait()


def _wait(base: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{base}/health/ready").status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit("expected the service to become ready within a minute, got nothing")


if __name__ == "__main__":
    main()

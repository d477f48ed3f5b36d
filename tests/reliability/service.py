"""A service in processes of its own: ``yoloscope serve`` as a user starts it, and what the system knows of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO

START_TIMEOUT_S = 300


@dataclass
class Service:
    """A running service; ``log`` holds what it has written to stderr."""

    process: subprocess.Popen[str]
    url: str
    folder: Path
    log: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """Process id of the process that serves: the supervisor's child, or without one the service itself."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else self.process.pid

    def memory_mib(self) -> float:
        """Resident set of the process that serves."""
        return memory_mib(self.pid)

    def descriptors(self) -> int:
        """How many file descriptors the process that serves has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def stop(self) -> int:
        """Ask the service to stop, wait for it and return its exit status."""
        self.process.terminate()
        return self.process.wait(60)


def memory_mib(pid: int, kind: str = "VmRSS") -> float:
    """Return what ``/proc/PID/status`` says of a process's memory."""
    found = re.search(rf"{kind}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


@contextmanager
def running(
    *arguments: str, cpus: set[int] | None = None, prepare: Callable[[], None] | None = None, **variables: str
) -> Iterator[Service]:
    """Start ``yoloscope serve`` with a models folder of its own, on ``cpus`` alone; give it, and stop it.

    ``prepare`` is called in the new process before the service is.
    """

    def before() -> None:
        if cpus is not None:
            os.sched_setaffinity(0, cpus)
        if prepare is not None:
            prepare()

    with tempfile.TemporaryDirectory() as folder:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("YOLOSCOPE_")}
        settings = {
            "YOLOSCOPE_MODELS_DIR": folder,
            "YOLOSCOPE_AUDITS_DIR": f"{folder}/audits",
            "YOLOSCOPE_MODEL": "builtin",
            "YOLOSCOPE_PROVIDER": "cpu",
            "YOLOSCOPE_LOG_LEVEL": "error",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "yoloscope.app.cli", "serve", "--port", "0", *arguments],
            env=clean | settings | variables,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            preexec_fn=before,  # noqa: PLW1509 (no thread of ours holds a lock then)
        )
        try:
            yield _announced(process, Path(folder))
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()


def _announced(process: subprocess.Popen[str], folder: Path) -> Service:
    assert process.stderr is not None
    service = Service(process, "", folder)
    for line in process.stderr:
        service.log.append(line)
        if found := re.search(r"listens on (\S+)", line):
            service.url = found[1]
        if line.startswith("try:"):
            break
    if not service.url:
        raise SystemExit(f"expected a service that starts, got:\n{''.join(service.log)}")
    Thread(target=_keep, args=(process.stderr, service.log), daemon=True).start()
    return service


def _keep(stream: IO[str], log: list[str]) -> None:
    with suppress(ValueError):
        log.extend(iter(stream.readline, ""))


def split_cpus() -> tuple[set[int], set[int]]:
    """Return the CPUs of the service and those of its clients, the same ones where there is only one."""
    cpus = sorted(os.sched_getaffinity(0))
    return (set(cpus[:-1]), {cpus[-1]}) if len(cpus) > 1 else (set(cpus), set(cpus))


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Return whether a condition came true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False

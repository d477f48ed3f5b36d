"""A program and all that it started: its memory, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_KILLED_S = 5.0
"""For what was killed to be gone."""


@dataclass(frozen=True)
class Memory:
    """MiB of a program and its children: shared pages counted in each process (rss), or by share (pss)."""

    rss: float
    pss: float


class Program:
    """A command that runs until the end of a with block, its output in a file."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], log: Path, grace_s: float = 20.0) -> None:
        self.log = log
        self._grace_s = grace_s
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ask it to stop, and end what is still there after a while."""
        started = {pid: _start_of(pid) for pid in family(self.process.pid)}
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self._grace_s)
        for pid, start in started.items():
            if start is not None and _start_of(pid) == start:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        deadline = time.monotonic() + _KILLED_S
        while any(start and _start_of(pid) == start for pid, start in started.items()) and time.monotonic() < deadline:
            time.sleep(0.01)

    def memory(self) -> Memory:
        """Memory now."""
        totals = {"Rss": 0, "Pss": 0}
        for pid in family(self.process.pid):
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    name, _, value = line.partition(":")
                    if name in totals:
                        totals[name] += int(value.split()[0])
        return Memory(totals["Rss"] / 1024, totals["Pss"] / 1024)

    def cpu_s(self) -> float:
        """Seconds of processor time that the program and its children have taken."""
        stats = [_stat(pid) for pid in family(self.process.pid)]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats if fields is not None) / _TICKS_A_SECOND


def family(root: int) -> list[int]:
    """Return the process ids of a process and of all below it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if (fields := _stat(int(folder.name))) is not None:
            parents[int(folder.name)] = int(fields[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _stat(pid: int) -> list[str] | None:
    """Return the fields of proc(5)'s stat behind the name: state, parent, ...; None where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _start_of(pid: int) -> str | None:
    """Return when a process started, which tells it from a later one of the same id; None where it has ended."""
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else fields[19]

"""Where and when a benchmark ran: the line that stands above every table."""

from __future__ import annotations

import datetime as dt
import os
import platform
from importlib.metadata import version
from pathlib import Path


def heading(title: str, *packages: str) -> str:
    """Return the title, the processor and its usable cores, the versions of Python and ``packages``, and the date."""
    versions = ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)])
    now = dt.datetime.now(dt.UTC)
    return f"{title}\n{processor()}, {len(os.sched_getaffinity(0))} cores, {versions}, {now:%Y-%m-%d %H:%M} UTC"


def processor() -> str:
    """Return the processor's name as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

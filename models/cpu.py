"""CPUs that this process may really use, by affinity and quotas of control groups, and priorities of its threads."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
_NICENESS = 19


def run_at_lowest_priority() -> None:
    """Take the time of the CPU that nothing else wants: the lowest priority, on Linux below every other one."""
    os.nice(_NICENESS)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def available_cpus(root: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """Return the number of threads worth starting: the affinity mask, bounded by the control groups' quotas.

    onnxruntime and most libraries count the cores of the host, which oversubscribes a container.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(root, membership)
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def cgroup_quota(root: Path = CGROUP, membership: Path = MEMBERSHIP) -> float | None:
    """Return the least CPU quota of the process's control group and those above it, in CPUs; None: no limit.

    ``membership`` says which groups the process is in (cgroup v2, and the cpu controller of v1).
    """
    quotas = [quota for folder in _groups(root, membership) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """Yield the folders of the groups that may bound the process, up to the roots."""
    yield from (root, root / "cpu")
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        parts = Path(path).parts[1:]
        for count in range(1, len(parts) + 1):
            yield Path(root / "cpu" if controllers else root, *parts[:count])


def _quota_of(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        cpus = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return cpus if cpus > 0 else None


def give_way() -> None:
    """Lower the priority of the calling thread a little against the others of its process, where there is such a thing.

    So a thread that computes lets one that answers run first, while other processes are hardly noticed.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + 1)

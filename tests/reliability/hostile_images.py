"""2,000 generated hostile images: statuses, the slowest answers, memory. Fails on a 5xx or a service that is gone."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.benchmarks.hostile_images import attack
from tests.benchmarks.report import heading
from tests.reliability.service import memory_mib, running


def main() -> None:
    parser = argparse.ArgumentParser(description="Send generated hostile images to a service.")
    parser.add_argument("--count", type=int, default=2000, help="images (default 2000)")
    arguments = parser.parse_args()
    print(heading(f"{arguments.count} hostile images", "pillow"), flush=True)
    with running() as service:
        pid, before = service.pid, memory_mib(service.pid, "VmHWM")
        times, statuses = attack(service.url, pid, arguments.count)
        same, peak = service.pid == pid, memory_mib(service.pid, "VmHWM")
    slowest = Counter({kind: max(wall for wall, _ in pairs) for kind, pairs in times.items()}).most_common(5)
    print("slowest: " + ", ".join(f"{kind} {seconds:.2f} s" for kind, seconds in slowest))
    print(f"statuses {dict(sorted(statuses.items()))}, resident at most {peak:.0f} MiB, {before:.0f} MiB before")
    print(f"the process that serves is {'the same' if same else 'ANOTHER'}")
    sys.exit(any(status >= 500 for status in statuses) or not same)


if __name__ == "__main__":
    main()

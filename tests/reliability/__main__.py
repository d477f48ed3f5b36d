"""All checks of reliability, or those that are named: ``python -m tests.reliability [NAME ...]``.

Each starts services of its own, prints its figures, and fails where something is lost that must not be.
"""

from __future__ import annotations

import subprocess
import sys

CHECKS = (
    "overload",
    "slow_connections",
    "shutdown",
    "kill_worker",
    "swap",
    "exhaustion",
    "hostile_images",
    "api_fuzz",
    "soak",
)


def main(chosen: list[str]) -> int:
    """Run each check in a process of its own; return 1 where one fails."""
    unknown = set(chosen) - set(CHECKS)
    if unknown:
        print(f"expected some of {', '.join(CHECKS)}, got {', '.join(sorted(unknown))}")
        return 2
    failed = []
    for name in chosen or CHECKS:
        if subprocess.run([sys.executable, "-m", f"{__package__}.{name}"], check=False).returncode:
            failed.append(name)
        print(flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "all held")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A machine of a Ray cluster killed under load: ``python -m tests.benchmarks.serve.ray_cluster``; two minutes.

Two raylets of one CPU each stand for two machines; ``yoloscope serve --ray`` has a replica on each. Requests come at a
fixed rate, whatever happens: at first to both, then one raylet is killed with all its processes, then another joins.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.cluster_utils import Cluster

from tests.benchmarks.report import heading
from tests.benchmarks.serve.__main__ import free_port, started
from tests.benchmarks.serve.processes import Program, family
from yoloscope.app.commands.bench import generated_image
from yoloscope.app.load_generator import Load, LoadResult, Target, measure
from yoloscope.app.ray_serve import NAME

SETTINGS = {"MODEL": "builtin", "PROVIDER": "cpu", "THREADS": "1", "RAY_MIN_REPLICAS": "2", "RAY_MAX_REPLICAS": "2"}


def raylet_of(node: Any) -> int:
    """Return the process id of the raylet of a node."""
    pid: int = node.all_processes["raylet"][0].process.pid
    return pid


def kill(root: int) -> None:
    """Kill a process and all that it started, as the end of a machine does."""
    for pid in family(root):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def running() -> int:
    """Return how many replicas run."""
    states = serve.status().applications[NAME].deployments[NAME].replica_states
    return int(states.get("RUNNING", 0))


def wait_for_replicas(count: int, limit_s: float = 120.0) -> float:
    """Wait until so many replicas run, and return the seconds that it took."""
    begun = time.perf_counter()
    while running() != count:
        assert time.perf_counter() - begun < limit_s, serve.status()
        time.sleep(0.1)
    return time.perf_counter() - begun


def phase(
    name: str, target: Target, options: argparse.Namespace, event: Callable[[], object] | None = None
) -> LoadResult:
    """Send requests at the rate, with an event in the main thread after a quarter of the time, and print a row."""
    with ThreadPoolExecutor(1) as thread:
        load = thread.submit(lambda: asyncio.run(measure(target, Load(rate=options.rate), options.duration)))
        if event is not None:
            time.sleep(options.duration / 4)
            event()
        result = load.result()
    times = " / ".join(f"{result.percentile_ms(percent) or 0:.0f}" for percent in (50, 99, 100))
    print(f"| {name} | {len(result.latencies_s)} | {times} | {result.problems() or 'none'} |", flush=True)
    return result


@dataclass(frozen=True)
class Machines:
    """Two raylets that serve together: the cluster, the raylet without its head, and the service's address."""

    cluster: Any
    second: Any
    url: str

    @property
    def target(self) -> Target:
        """Requests for detection."""
        return Target(f"{self.url}/v1/detect", [generated_image()], timeout_s=20)


@contextmanager
def two_machines(log: Path, **settings: str) -> Iterator[Machines]:
    """Serve on two raylets of one CPU each, a replica on each, with these settings on top of ``SETTINGS``."""
    port = free_port()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        machines = Machines(cluster, cluster.add_node(num_cpus=1), f"http://127.0.0.1:{port}")
        variables = {f"YOLOSCOPE_{name}": value for name, value in {**SETTINGS, **settings}.items()}
        environment = {**os.environ, **variables, "RAY_ADDRESS": cluster.address}
        command = [sys.executable, "-m", "yoloscope.app.cli", "serve", "--ray", "--port", str(port)]
        with Program(command, environment, log) as program:
            started(program, machines.target)
            ray.init(cluster.address, log_to_driver=False)
            wait_for_replicas(2)
            yield machines
    finally:
        ray.shutdown()
        cluster.shutdown()


def run(options: argparse.Namespace, log: Path) -> None:
    with two_machines(log) as machines:
        target, cluster = machines.target, machines.cluster
        print(heading(f"a raylet killed under {options.rate:g} requests/s", "ray"))
        print("| | answers | p50 / p99 / most ms | errors |\n|---|---|---|---|")
        phase("two machines", target, options)
        phase("one of them is killed", target, options, lambda: kill(raylet_of(machines.second)))
        phase("one machine", target, options)
        phase("another one joins", target, options, lambda: cluster.add_node(num_cpus=1))
        print(f"{wait_for_replicas(2):.1f} s more until two replicas run")
        phase("two machines again", target, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=5.0, help="requests a second")
    parser.add_argument("--duration", type=float, default=12.0, help="seconds of each part")
    with tempfile.TemporaryDirectory() as folder:
        run(parser.parse_args(), Path(folder) / "log")


if __name__ == "__main__":
    main()

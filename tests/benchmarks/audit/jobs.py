"""Figures of audit jobs: a large zip killed at random, replicas on PostgreSQL, and detection beside a job.

``python -m tests.benchmarks.audit.jobs zip|replicas|shared|latency``; BCCD is read from ``--data``. ``replicas`` is 20
jobs for two replicas, then ``shared``: one job for one worker, for two, and for two of which one is killed.
"""

import argparse
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import select

from tests.app.artifact import tiny_spec, write_tiny_artifact
from tests.benchmarks.report import heading
from tests.helpers.postgres import postgres_server
from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.tables import ShardRow
from yoloscope.models import zoo
from yoloscope.training.export.artifact import read_artifact

REPORTS = ("report.json", "report.csv", "report.html")
OPEN = ("queued", "running")


def write_zip(path: Path, data: Path, count: int) -> None:
    """Write ``count`` pictures of BCCD with their VOC labels, the same ones again under other names."""
    stems = sorted(file.stem for file in (data / "Annotations").glob("*.xml"))
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            stem = stems[number % len(stems)]
            name = f"{number:05d}"
            label = (data / "Annotations" / f"{stem}.xml").read_text()
            label = re.sub("<filename>.*?</filename>", f"<filename>{name}.jpg</filename>", label)
            archive.writestr(f"cells/Annotations/{name}.xml", label)
            archive.write(data / "JPEGImages" / f"{stem}.jpg", f"cells/JPEGImages/{name}.jpg")


def write_tiny(folder: Path) -> None:
    """Write a model that takes no time, so that the figures are those of the jobs."""
    _, builtin = read_artifact(zoo.BUILTIN)
    changes = {"calibration": builtin.calibration, "class_names": builtin.class_names}
    write_tiny_artifact(folder / "tiny.onnx", tiny_spec("tiny").model_copy(update=changes).to_json())


@dataclass
class Replica:
    process: subprocess.Popen[bytes]
    http: httpx.Client
    log: Path
    supervised: bool

    def serving(self) -> int | None:
        """Process id of the service: the only child of its supervisor, if it has one."""
        return _child(self.process.pid) if self.supervised else self.process.pid

    def worker(self) -> int | None:
        """Process id of the worker, the only child of the service."""
        serving = self.serving()
        return None if serving is None else _child(serving)

    def job(self, url: str) -> dict[str, Any]:
        """Return a job, also where the service dies before it answers and its supervisor starts it again."""
        deadline = time.monotonic() + 120
        while True:
            try:
                response = self.http.get(url)
            except httpx.TransportError:
                if not self.supervised or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                job: dict[str, Any] = response.raise_for_status().json()
                return job


def _child(parent: int) -> int | None:
    try:
        found = [
            int(pid) for file in Path(f"/proc/{parent}/task").glob("*/children") for pid in file.read_text().split()
        ]
    except OSError:
        return None
    return found[0] if found else None


@contextmanager
def replica(log: Path, variables: dict[str, str], *, supervised: bool = False) -> Iterator[Replica]:
    environment = {**os.environ, "YOLOSCOPE_PROVIDER": "cpu", "YOLOSCOPE_SUPERVISE": str(int(supervised)), **variables}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "yoloscope.app.cli", "serve", "--port", "0"], env=environment, stderr=output
        )
    deadline = time.monotonic() + 120
    while (found := re.search(r"listens on (\S+)", log.read_text())) is None:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    with httpx.Client(base_url=found.group(1), timeout=600) as http:
        try:
            yield Replica(process, http, log, supervised)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(60)


def post(http: httpx.Client, path: Path, **options: str) -> str:
    with path.open("rb") as file:
        response = http.post("/v1/audits", files={"data": (path.name, file)}, data=options)
    assert response.status_code == 202, response.text
    location: str = response.headers["location"]
    return location


def peak_mib(pid: int | None) -> float:
    """Largest resident size of a process so far."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found.group(1)) / 1024 if found else 0.0


def digest(http: httpx.Client, url: str) -> list[str]:
    digests = []
    for name in REPORTS:
        with http.stream("GET", f"{url}/{name}") as response:
            assert response.status_code == 200
            sha = hashlib.sha256()
            for part in response.iter_bytes():
                sha.update(part)
        digests.append(sha.hexdigest()[:16])
    return digests


def run_zip(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Audit a zip without interruption, then again with a kill -9 of worker or service at three random images.

    The service is served as its users have it: under the supervisor, which starts it again.
    """
    path = folder / "cells.zip"
    write_zip(path, arguments.data, arguments.images)
    write_tiny(folder / "models")
    variables = {
        "YOLOSCOPE_MODELS_DIR": str(folder / "models"),
        "YOLOSCOPE_MODEL": arguments.model,
        "YOLOSCOPE_AUDITS_DIR": str(folder / "audits"),
    }
    kills = sorted(random.Random(arguments.seed).sample(range(1, arguments.images - 8), 3))
    result: dict[str, Any] = {"images": arguments.images, "zip_mib": path.stat().st_size / 2**20, "kills_at": kills}
    digests, killed = [], []
    peaks = Counter[str]()
    for name in ("uninterrupted_s", "killed_s"):
        begun = time.monotonic()
        left = list(zip(kills, ("worker", "service", "worker"), strict=True)) if name == "killed_s" else []
        with replica(folder / "log", variables, supervised=True) as running:
            url = post(running.http, path)
            while (job := running.job(url))["state"] in OPEN:
                pids = {"worker": running.worker(), "service": running.serving()}
                for process, pid in pids.items():
                    peaks[process] = max(peaks[process], round(peak_mib(pid)))
                if left and job["done"] >= left[0][0] and (pid := pids[left[0][1]]):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(left.pop(0)[1])
                time.sleep(0.2)
            assert job["state"] == "done", job
            assert not left, f"the job ended before {left}: more --images"
            digests.append(digest(running.http, url))
        result[name] = round(time.monotonic() - begun, 1)
    result |= {"killed": killed, "peak_mib": dict(peaks), "identical": digests[0] == digests[1], "digests": digests[0]}
    return result


def run_replicas(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Have two replicas on one PostgreSQL do 20 jobs, one of them killed on the way, and then share one job."""
    return run_queue(arguments, folder) | {"one_job": run_shared(arguments, folder)}


def run_queue(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    path = folder / "cells.zip"
    write_zip(path, arguments.data, arguments.images)
    write_tiny(folder / "models")
    with postgres_server() as url:
        variables = {
            "YOLOSCOPE_MODELS_DIR": str(folder / "models"),
            "YOLOSCOPE_MODEL": arguments.model,
            "YOLOSCOPE_DATABASE_URL": url,
            "YOLOSCOPE_MAX_OPEN_AUDITS": "30",
        }
        one, two = ({**variables, "YOLOSCOPE_AUDITS_DIR": str(folder / name)} for name in ("one", "two"))
        with replica(folder / "log1", one) as first, replica(folder / "log2", two) as second:
            urls = [post((first, second)[number % 2].http, path) for number in range(20)]
            while sum(second.http.get(url).json()["state"] == "done" for url in urls) < 6:
                time.sleep(0.2)
            first.process.kill()
            first.process.wait()
            while any(second.http.get(url).json()["state"] in OPEN for url in urls):
                time.sleep(0.5)
            states = Counter(second.http.get(url).json()["state"] for url in urls)
            digests = {tuple(digest(second.http, url)) for url in urls}
            logs = {name: (folder / name).read_text() for name in ("log1", "log2")}
            done = {name: re.findall(r"audit (\w+): done", log) for name, log in logs.items()}
    ends = Counter(job for jobs in done.values() for job in jobs)
    return {
        "states": dict(states),
        "done_by": {name: len(jobs) for name, jobs in done.items()},
        "each_once": len(ends) == 20 and set(ends.values()) == {1},
        "different_reports": len(digests),
    }


class SharedJob:
    """A job as its database has it: which worker process judged how many images."""

    def __init__(self, url: str, path: str) -> None:
        self._database = Database(url)
        self._query = select(ShardRow).where(ShardRow.job_id == path.rpartition("/")[2])

    def images_by_worker(self) -> dict[int, int]:
        """Images that are judged, by the process id of the worker."""
        found = Counter[int]()
        with self._database.read() as session:
            for shard in session.scalars(self._query.where(ShardRow.done)):
                assert shard.claimed_by is not None
                found[int(shard.claimed_by.split(":")[1])] += shard.end - shard.first
        return dict(found)

    def images_judged_again(self) -> int:
        with self._database.read() as session:
            return sum((shard.attempts - 1) * (shard.end - shard.first) for shard in session.scalars(self._query))

    def close(self) -> None:
        self._database.close()


def run_shared(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Have replicas do one job together: its time, the pictures of each worker, and whether the reports are equal."""
    path = folder / "shared.zip"
    write_zip(path, arguments.data, arguments.shared_images)
    with postgres_server() as url:
        runs = {
            "one_worker": share(url, path, folder, workers=1),
            "two_workers": share(url, path, folder, workers=2),
            "one_of_two_killed": share(url, path, folder, workers=2, kill=True),
        }
    reports = {tuple(run.pop("report")) for run in runs.values()}
    speedup = runs["one_worker"]["seconds"] / runs["two_workers"]["seconds"]
    return {"images": arguments.shared_images, **runs, "speedup": round(speedup, 2), "different_reports": len(reports)}


def share(url: str, path: Path, folder: Path, *, workers: int, kill: bool = False) -> dict[str, Any]:
    """Have replicas do one job; the last one and its worker are killed once it has judged some images."""
    with ExitStack() as stack:
        replicas = [
            stack.enter_context(
                replica(
                    folder / f"log{number}",
                    {
                        "YOLOSCOPE_MODEL": "builtin",
                        "YOLOSCOPE_DATABASE_URL": url,
                        "YOLOSCOPE_AUDITS_DIR": str(folder / f"audits{number}"),
                    },
                )
            )
            for number in range(workers)
        ]
        first, last = replicas[0], replicas[-1]
        begun = time.monotonic()
        job = post(first.http, path)
        shared = stack.enter_context(closing(SharedJob(url, job)))
        while (state := first.http.get(job).json()["state"]) in OPEN:
            worker = last.worker() if kill else None
            if worker is not None and worker in shared.images_by_worker():
                kill = False
                for pid in (worker, last.process.pid):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        took_s = time.monotonic() - begun
        assert state == "done"
        return {
            "seconds": round(took_s, 1),
            "images_by_worker": list(shared.images_by_worker().values()),
            "judged_again": shared.images_judged_again(),
            "report": digest(first.http, job),
        }


def run_latency(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time detections one after the other, without and beside a job, in turns."""
    path = folder / "cells.zip"
    write_zip(path, arguments.data, arguments.images)
    variables = {"YOLOSCOPE_MODEL": "builtin", "YOLOSCOPE_AUDITS_DIR": str(folder / "audits")}
    image = min((arguments.data / "JPEGImages").glob("*.jpg")).read_bytes()
    times: dict[str, list[float]] = {"alone": [], "beside": []}
    with replica(folder / "log", variables) as running:
        for _ in range(20):
            running.http.post("/v1/detect", content=image)
        for _ in range(arguments.rounds):
            times["alone"] += detections(running.http, image)
            url = post(running.http, path)
            while running.http.get(url).json()["done"] < 8:
                time.sleep(0.2)
            times["beside"] += detections(running.http, image)
            assert running.http.get(url).json()["state"] == "running", "the job ended too early: more --images"
            running.http.delete(url)
            time.sleep(4)
    result = {name: [round(float(np.percentile(found, p)), 1) for p in (50, 99)] for name, found in times.items()}
    return {"p50_p99_ms": result, "p99_ratio": round(result["beside"][1] / result["alone"][1], 2)}


def detections(http: httpx.Client, image: bytes) -> list[float]:
    took = []
    for _ in range(100):
        begun = time.perf_counter()
        assert http.post("/v1/detect", content=image).status_code == 200
        took.append(1e3 * (time.perf_counter() - begun))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("zip", "replicas", "shared", "latency"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data/bccd"))
    parser.add_argument("--images", type=int, default=None, help="in a zip; default 5000, for replicas 60")
    parser.add_argument("--shared-images", type=int, default=480, help="in the zip of the one job of several workers")
    parser.add_argument("--model", default="tiny", help="tiny: a network that takes no time; or builtin")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.images = arguments.images or {"zip": 5000, "replicas": 60, "latency": 600}.get(arguments.what)
    run = {"zip": run_zip, "replicas": run_replicas, "shared": run_shared, "latency": run_latency}[arguments.what]
    with tempfile.TemporaryDirectory(prefix="audit-jobs-") as folder:
        result = run(arguments, Path(folder))
    print(heading(f"audit jobs: {arguments.what}"))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

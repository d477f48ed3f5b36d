"""An audit shared by two machines of a Ray cluster, one killed: ``python -m tests.benchmarks.audit.on_ray``; minutes.

As in ``tests.benchmarks.serve.ray_cluster`` two raylets stand for two machines, each with a replica and its worker of
audits, on one PostgreSQL. One job is done by both, and one while a raylet is killed with all its processes, as soon as
both workers have judged images; then one by the replica that is left. All reports must have the same bytes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx

from tests.benchmarks.audit.jobs import OPEN, SharedJob, digest, post
from tests.benchmarks.report import heading
from tests.benchmarks.serve.ray_cluster import kill, raylet_of, two_machines
from tests.conftest import ROOT
from tests.helpers.postgres import postgres_server

LIMIT_S = 600.0


def write_zip(path: Path, count: int) -> None:
    """Write ``count`` times the same blood smear, with one label each, in YOLO's layout."""
    image = (ROOT / "docs" / "images" / "blood.jpg").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("classes.txt", "RBC\nWBC\nPlatelets\n")
        for number in range(count):
            archive.writestr(f"images/{number:04d}.jpg", image)
            archive.writestr(f"labels/{number:04d}.txt", f"{number % 3} {0.2 + 0.6 * number / count:.4f} .5 .12 .15\n")


def audit(http: httpx.Client, url: str, path: Path, name: str, event: Callable[[], object] | None = None) -> list[str]:
    """Have a zip audited, with an event once two workers have judged images; print a row, return the digests."""
    begun = time.perf_counter()
    location = post(http, path)
    with closing(SharedJob(url, location)) as job:
        while state(http, location) in OPEN:
            assert time.perf_counter() - begun < LIMIT_S, job.images_by_worker()
            if event is not None and len(job.images_by_worker()) > 1:
                event()
                event = None
            time.sleep(0.1)
        took_s = time.perf_counter() - begun
        shares = " + ".join(str(count) for count in job.images_by_worker().values())
        print(f"| {name} | {took_s:.1f} | {shares} | {job.images_judged_again()} |", flush=True)
    return digest(http, location)


def state(http: httpx.Client, location: str) -> str:
    """Return the state of a job; requests that were in a replica that is killed are sent again."""
    while True:
        try:
            answer = http.get(location)
        except httpx.TransportError:
            continue
        if answer.status_code == httpx.codes.OK:
            found: str = answer.json()["state"]
            return found
        time.sleep(0.1)


def run(options: argparse.Namespace, folder: Path) -> None:
    path = folder / "smears.zip"
    write_zip(path, options.images)
    with postgres_server() as url:
        settings = {"DATABASE_URL": url, "AUDITS_DIR": str(folder / "audits"), "MODELS_DIR": str(folder / "models")}
        with (
            two_machines(folder / "log", **settings) as cluster,
            httpx.Client(base_url=cluster.url, timeout=60) as http,
        ):
            print(heading(f"an audit of {options.images} images on two machines", "ray"))
            print("| | s | images by worker | images judged again |\n|---|---|---|---|")
            reports = [
                audit(http, url, path, "two machines"),
                audit(http, url, path, "one of them is killed", lambda: kill(raylet_of(cluster.second))),
                audit(http, url, path, "one machine"),
            ]
    print(f"{len({tuple(report) for report in reports})} different reports")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=320)
    with tempfile.TemporaryDirectory() as folder:
        run(parser.parse_args(), Path(folder))


if __name__ == "__main__":
    main()

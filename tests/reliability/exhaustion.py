"""No file descriptors, no room on the disk: does the service still answer, or say 503?"""

from __future__ import annotations

import asyncio
import io
import os
import resource
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.benchmarks.report import heading
from tests.reliability.load import Connection, Request, address, photo
from tests.reliability.service import Service, running, wait_for


def main() -> None:
    print(heading("Exhaustion: descriptors and disk", "uvicorn"))
    results = {
        "descriptors taken away while it serves": _without_descriptors(),
        "started with 64 descriptors": _with_few_descriptors(),
        "disk of audits full": _with_full_disk(),
        "log on a full disk": _with_full_log(),
    }
    for name, result in results.items():
        print(f"{name:40} {'skipped: ' + result if isinstance(result, str) else 'held' if result else 'FAILED'}")
    sys.exit(any(result is False for result in results.values()))


def _without_descriptors() -> bool:
    """Connections that are there are served while there is no descriptor, and new ones as soon as there is."""
    with running() as service:
        request = Request.post(service.url, "/v1/detect", photo(320, 240))

        async def scenario() -> bool:
            before = Connection()
            first = await before.send(request)
            limit = service.descriptors() + 2
            resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (limit, limit))
            idle = [await asyncio.open_connection(*address(service.url)) for _ in range(30)]
            meanwhile = [await before.send(request) for _ in range(5)]
            for _, writer in idle:
                writer.close()
            afterwards = await Connection().send(request, timeout_s=30)
            said = sum("could not be accepted" in line for line in service.log)
            print(
                f"  before {first.status}, meanwhile {[a.status for a in meanwhile]}, after {afterwards.status}", end=""
            )
            print(f" in {afterwards.seconds:.1f} s; lines of log: {said}")
            return {first.status, afterwards.status, *(answer.status for answer in meanwhile)} == {200}

        return asyncio.run(scenario())


def _with_few_descriptors() -> bool:
    """With 64 descriptors from the start, 100 idle connections keep nobody out."""

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    with running(prepare=few) as service:
        request = Request.post(service.url, "/v1/detect", photo(320, 240))

        async def scenario() -> list[int]:
            idle = [await asyncio.open_connection(*address(service.url)) for _ in range(100)]
            found = [(await Connection().send(request, timeout_s=30)).status for _ in range(10)]
            for _, writer in idle:
                writer.close()
            return found

        statuses = asyncio.run(scenario())
        print(f"  beside 100 idle connections: {statuses}")
        return set(statuses) <= {200, 503} and 200 in statuses


@contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """Mount a disk of 1 MiB, if that is allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    allowed = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield allowed
    finally:
        if allowed:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def _with_full_disk() -> bool | str:
    """An audit is refused with 503 in words, detection goes on, and audits too once there is room."""
    with running() as service, _small_disk(service.folder / "audits") as allowed:
        if not allowed:
            return "mounting a small disk is not allowed here"
        filler = service.folder / "audits" / "filler"
        _fill(filler)
        refused, beside = _audit(service), _detect(service)
        filler.unlink()
        taken = _audit(service)
        print(
            f"  audits {refused.status_code} ({refused.text[:160]}), detection {beside}, with room {taken.status_code}"
        )
        return (refused.status_code, beside, taken.status_code) == (503, 200, 202)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def _audit(service: Service) -> httpx.Response:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("images/a.jpg", photo(640, 480))
        archive.writestr("labels/a.txt", "0 .5 .5 .2 .2\n")
        archive.writestr("data.yaml", "names: [RBC, WBC, Platelets]\ntrain: images\n")
    return httpx.post(f"{service.url}/v1/audits", files={"data": ("a.zip", buffer.getvalue())}, timeout=60)


def _detect(service: Service) -> int:
    return httpx.post(f"{service.url}/v1/detect", content=photo(320, 240), timeout=60).status_code


def _with_full_log() -> bool:
    """Where nothing can be written to the log the service serves all the same."""
    with Path(os.devnull).open("rb") as nothing:
        port = _free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "yoloscope.app.cli", "serve", "--port", str(port)],
            env=os.environ | {"YOLOSCOPE_MODEL": "builtin", "YOLOSCOPE_PROVIDER": "cpu"},
            stdin=nothing,
            stderr=os.open("/dev/full", os.O_WRONLY),
        )
    url = f"http://127.0.0.1:{port}"
    try:
        ready = wait_for(lambda: _ready(url), 60)
        found = httpx.post(f"{url}/v1/detect", content=photo(320, 240), timeout=60).status_code if ready else 0
    finally:
        process.terminate()
        status = process.wait(60)
    print(f"  with stderr on /dev/full: detection {found}, exit status {status}")
    return (found, status) == (200, 0)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=60).status_code == 200
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()

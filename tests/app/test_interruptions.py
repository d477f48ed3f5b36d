"""Clients that leave and shutdowns: what becomes of the requests that are at work."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from tests.app.client import Client
from tests.e2e.conftest import environment
from yoloscope.app.main import create_app
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.state import Services
from yoloscope.app.settings import Settings
from yoloscope.app.supervisor import SAME_SIGNAL_S

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/v1/detect",
    "query_string": b"",
    "headers": [(b"content-type", b"image/png")],
}

SLOW_SERVICE = """
import time
from pathlib import Path
from yoloscope.app.commands.serve import serve
from yoloscope.app.services.runtime import Runtime

quick, calls = Runtime.detect, iter(range(1000))

def slow(self, *arguments, **options):
    if next(calls):  # the first is the warm-up
        print("at work", flush=True)
        time.sleep(300)
    return quick(self, *arguments, **options)

Runtime.detect = slow
serve(model="tiny", port=0, models_dir=Path({folder!r}), threads=1)
"""


def test_the_queued_work_of_a_client_that_leaves_is_dropped(
    settings: Settings, gray_png: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(create_app(settings)) as client:
        services: Services = client.app.state.services
        ran: list[int] = []
        monkeypatch.setattr(Runtime, "detect", lambda *_, **__: ran.append(1))
        sent: list[MutableMapping[str, Any]] = []

        async def scenario() -> None:
            release, leaves = Event(), asyncio.Event()
            begun = asyncio.create_task(services.inference.run(release.wait, 10))
            body = [{"type": "http.request", "body": gray_png, "more_body": False}]

            async def receive() -> MutableMapping[str, Any]:
                if body:
                    return body.pop()
                await leaves.wait()
                return {"type": "http.disconnect"}

            async def send(message: MutableMapping[str, Any]) -> None:
                sent.append(message)

            request = asyncio.create_task(client.app(dict(SCOPE), receive, send))
            while not services.limiter.held:
                await asyncio.sleep(0.005)
            leaves.set()
            await asyncio.wait_for(request, 10)
            assert services.limiter.held == 0
            release.set()
            await begun
            await services.inference.run(int)

        client.runner.run(scenario())
    assert ran == []
    assert sent == []
    assert '"POST /v1/detect" no answer: the client left, ' in caplog.text


def test_answers_close_their_connections_while_the_service_drains(settings: Settings, gray_png: bytes) -> None:
    with Client(create_app(settings)) as client:
        assert "connection" not in client.post("/v1/detect", content=gray_png).headers
        client.app.state.services.draining = True
        for response in (client.post("/v1/detect", content=gray_png), client.get("/health/ready")):
            assert response.headers["connection"] == "close"


@pytest.fixture
def slow_service(models_dir: Path, request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process whose inference takes minutes, and its address; the parameter is its YOLOSCOPE_SHUTDOWN_GRACE_S."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_SERVICE.format(folder=str(models_dir))],
        env=environment(YOLOSCOPE_SHUTDOWN_GRACE_S=request.param),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    address = ""
    for line in process.stderr:
        if line.startswith("try:"):
            address = line.split()[-1]
            break
    yield process, address
    process.kill()
    process.communicate()


async def stopped_at_work(process: subprocess.Popen[str], address: str, image: bytes, signals: int) -> httpx.Response:
    """Send a request, stop the service while it works on it, and return the answer."""
    async with httpx.AsyncClient(timeout=60) as http:
        answer = asyncio.create_task(http.post(address, content=image))
        assert process.stdout is not None
        at_work = asyncio.create_task(asyncio.to_thread(process.stdout.readline))
        await asyncio.wait({answer, at_work}, return_when=asyncio.FIRST_COMPLETED)
        if not at_work.done():
            process.kill()
        assert await at_work == "at work\n"
        process.send_signal(signal.SIGTERM)
        for _ in range(signals - 1):
            await refused(httpx.URL(address))
            await asyncio.sleep(SAME_SIGNAL_S)
            process.send_signal(signal.SIGTERM)
        return await answer


async def refused(address: httpx.URL) -> None:
    """Wait until the service takes no connection, because it has heard the signal."""
    while True:
        try:
            _, writer = await asyncio.open_connection(address.host, address.port)
        except ConnectionRefusedError:
            return
        writer.close()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("slow_service", ["1"], indirect=True)
def test_what_the_grace_cuts_off_is_answered(slow_service: tuple[subprocess.Popen[str], str], gray_png: bytes) -> None:
    process, address = slow_service
    response = asyncio.run(stopped_at_work(process, address, gray_png, 1))
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["connection"] == "close"
    assert json.loads(response.text)["type"] == "urn:yoloscope:problem:not-ready"
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in log
    line = (
        r'^\d{4}-\d\d-\d\d [\d:,]+ WARNING \[[0-9a-f]{32}\] 127\.0\.0\.1 "POST /v1/detect" 503 \d+ ms the service stops'
    )
    assert re.search(line, log, re.MULTILINE)


@pytest.mark.parametrize("slow_service", ["300"], indirect=True)
def test_a_second_signal_ends_at_once(slow_service: tuple[subprocess.Popen[str], str], gray_png: bytes) -> None:
    process, address = slow_service
    with pytest.raises(httpx.RemoteProtocolError):
        asyncio.run(stopped_at_work(process, address, gray_png, 2))
    _, log = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped at once by a second signal" in log


def test_a_signal_while_the_process_ends_changes_nothing(models_dir: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "yoloscope.app.cli", "serve", "--no-supervise", "--model", "tiny", "--port", "0"],
        env=environment(YOLOSCOPE_MODELS_DIR=str(models_dir)),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("try:"):
            process.terminate()
        if "Finished server process" in line:
            break
    while process.poll() is None:
        process.terminate()
        time.sleep(0.02)
    process.stderr.close()
    assert process.returncode == 0

"""Counts of requests by route, the reasons of refusals, and the whole page as Prometheus' own tool reads it."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from starlette.types import Message

from tests.app.client import Client
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings


@pytest.fixture
def fresh(settings: Settings) -> Iterator[Client]:
    with Client(create_app(settings)) as client:
        yield client


def sample(client: Client, name: str, **labels: str) -> float | None:
    """Return a value of the page ``/metrics``."""
    wanted = name + ("{" + ",".join(f'{key}="{labels[key]}"' for key in sorted(labels)) + "}" if labels else "")
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == wanted), None)


@pytest.mark.parametrize(
    ("method", "path", "route", "counted", "status"),
    [
        ("GET", "/v1/models/tiny", "/v1/models/{name}", "GET", "200"),
        ("GET", "/v1/models/nope", "/v1/models/{name}", "GET", "404"),
        ("HEAD", "/health/live", "/health/live", "HEAD", "200"),
        ("GET", "/secret/4711", "other", "GET", "404"),
        ("BREW", "/health/live", "/health/live", "other", "405"),
    ],
)
def test_requests_are_counted_under_the_template_of_their_route(
    fresh: Client, method: str, path: str, route: str, counted: str, status: str
) -> None:
    for _ in range(2):
        fresh.request(method, path)
    assert sample(fresh, "yoloscope_requests_total", route=route, method=counted, status=status) == 2
    assert sample(fresh, "yoloscope_request_duration_seconds_count", route=route) == 2


@pytest.mark.parametrize(
    ("content", "headers", "reason", "status"),
    [
        (b"no image", {}, "decode", "415"),
        (b"", {"content-length": "99999999999"}, "too_large", "413"),
    ],
)
def test_refusals_are_counted_by_their_reason(
    fresh: Client, content: bytes, headers: dict[str, str], reason: str, status: str
) -> None:
    fresh.post("/v1/detect", content=content, headers=headers)
    assert sample(fresh, "yoloscope_rejected_total", reason=reason) == 1
    assert sample(fresh, "yoloscope_requests_total", route="/v1/detect", method="POST", status=status) == 1


def test_a_client_that_leaves_is_counted(fresh: Client) -> None:
    async def leave() -> None:
        scope = {"type": "http", "method": "POST", "path": "/v1/detect", "headers": [], "query_string": b""}

        async def receive() -> Message:
            raise asyncio.CancelledError

        async def send(_message: Message) -> None:
            raise AssertionError("expected no answer")

        with pytest.raises(asyncio.CancelledError):
            await fresh.app(scope, receive, send)

    fresh.runner.run(leave())
    assert sample(fresh, "yoloscope_cancelled_total") == 1
    assert sample(fresh, "yoloscope_requests_total", route="/v1/detect", method="POST", status="499") == 1


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool of Debian's package prometheus is not installed")
def test_prometheus_own_checker_finds_no_fault(fresh: Client, gray_png: bytes) -> None:
    fresh.post("/v1/detect", content=gray_png)
    page = fresh.get("/metrics")
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = subprocess.run(["promtool", "check", "metrics"], input=page.content, capture_output=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")

"""Requests that are refused by their head while the service is full."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI

from tests.app.client import Client, serve_app
from tests.app.test_http_protocol import answer
from yoloscope.app.http_protocol import protocol_for
from yoloscope.app.main import create_app
from yoloscope.app.services.state import Services
from yoloscope.app.settings import Settings
from yoloscope.app.shedding import ROUTES, Shedder

HEAD = b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"


@pytest.fixture(scope="module")
def services(settings: Settings) -> Iterator[Services]:
    services = Services(settings.model_copy(update={"queue_limit": 1, "root_path": "/yolo"}))
    yield services
    services.close()


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"POST", b"GET"),
        HEAD.replace(b"/v1/detect", b"/v1/models"),
        HEAD.replace(b"/v1/detect", b"/v1/detect#a"),
        HEAD.replace(b"1.1", b"1.0"),
        HEAD.replace(b"Host: x\r\n", b""),
        HEAD.replace(b"Content-Length: 5\r\n", b""),
        HEAD.replace(b"Content-Length: 5", b"Content-Length : 5"),
        HEAD.replace(b"5", b"+5"),
        HEAD.replace(b"5", b"1000001"),
        HEAD.replace(b"5\r\n", b"5\n"),
        HEAD + b"Content-Length: 5\r\n",
        HEAD + b"content-length: 6\r\n",
        HEAD + b" folded\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n",
        HEAD + b"Expect: 100-continue\r\n",
        HEAD + b"Origin: http://a\r\n",
        HEAD + b"Connection: close\r\n",
        HEAD[:-1],
    ],
)
def test_what_is_unusual_goes_the_usual_way(services: Services, head: bytes) -> None:
    with services.limiter.hold(1):
        assert Shedder(services).refuse(head + b"\r\n12345") is None


@pytest.mark.parametrize("path", [b"/v1/detect", b"/yolo/v1/detect", b"/v1/detect?model=a", b"/v2/models/a/infer"])
def test_a_usual_head_is_refused_while_the_service_is_full(services: Services, path: bytes) -> None:
    request = HEAD.replace(b"/v1/detect", path) + b"Connection: Keep-Alive\r\nX-Request-ID: abc\r\n\r\n12345"
    shedder = Shedder(services)
    assert shedder.refuse(request) is None
    with services.limiter.hold(1):
        shed = shedder.refuse(request)
        assert shed is not None
        assert (len(request) - shed.head_bytes, shed.body_bytes) == (5, 5)
        head, _, body = shed.answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert {b"retry-after: 1", b"x-request-id: abc", b"content-length: %d" % len(body)} <= set(head.split(b"\r\n"))
        detail = json.loads(body)["error" if b"/v2/" in path else "detail"]
        assert detail == "expected at most 1 images at work at once, got 1; retry later"


def test_a_service_that_drains_answers_in_the_usual_way(services: Services) -> None:
    services.draining = True
    with services.limiter.hold(1):
        assert Shedder(services).refuse(HEAD + b"\r\n12345") is None
    services.draining = False


def test_refusals_are_counted(services: Services) -> None:
    shedder, metrics = Shedder(services), services.metrics
    before = metrics.rejected.labels("queue_full")._value.get()
    with services.limiter.hold(1):
        shedder.refuse(HEAD + b"\r\n12345")
    assert metrics.rejected.labels("queue_full")._value.get() == before + 1
    assert b'requests_total{method="POST",route="/v1/detect",status="503"}' in metrics.text()


def test_the_routes_are_those_that_refuse_when_the_service_is_full(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"queue_limit": 1}))
    posts = [path for path, item in app.openapi()["paths"].items() if "post" in item]
    with Client(app) as client, client.app.state.services.limiter.hold(1):
        refused = {
            path for path in posts if client.post(re.sub(r"{\w+}", "tiny", path), content=b"").status_code == 503
        }
    assert refused == set(ROUTES)


@contextmanager
def connected(app: FastAPI) -> Iterator[socket.socket]:
    with serve_app(app, protocol_for(app.state.services)) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            yield connection


def test_bodies_of_refused_requests_are_dropped_and_the_connection_goes_on(settings: Settings, gray_png: bytes) -> None:
    app = create_app(settings.model_copy(update={"queue_limit": 1}))
    services: Services = app.state.services
    head = HEAD.replace(b"5", b"%d" % len(gray_png)) + b"\r\n"
    with connected(app) as connection:
        with services.limiter.hold(1):
            connection.sendall(head + gray_png[:10])
            assert b" 503 " in answer(connection)
            connection.sendall(gray_png[10:] + head + gray_png + head)
            received = b""
            while received.count(b"HTTP/1.1 503 ") < 2:
                received += connection.recv(65536)
        connection.sendall(gray_png + head + gray_png)
        assert b"HTTP/1.1 200 OK" in answer(connection)

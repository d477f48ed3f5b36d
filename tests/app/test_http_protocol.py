"""Connections that are slow, broken or dropped, on a real socket."""

import json
import socket
from collections.abc import Iterator
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest
import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from yoloscope.app.http_protocol import ProblemProtocol

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


class Impatient(ProblemProtocol):
    head_timeout_s = 0.3


async def echo(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answer / with the length of its body, and /early before the body is there."""
    assert scope["type"] == "http"
    length, more = 0, scope["path"] != "/early"
    while more:
        message: Any = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")], "trailers": False}
    )
    await send({"type": "http.response.body", "body": b"%d" % length, "more_body": False})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(echo, port=0, http=Impatient, ws="none", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    thread.join()


def exchange(address: tuple[str, int], *parts: bytes) -> bytes:
    """Send the parts one by one and return all that comes until the other side closes."""
    with socket.create_connection(address, timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
            sleep(0.05)
        received = b""
        while block := connection.recv(65536):
            received += block
    return received


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_bytes_that_are_not_http_are_a_problem(address: tuple[str, int], sent: bytes) -> None:
    head, _, body = exchange(address, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    assert (json.loads(body)["status"], json.loads(body)["title"]) == (400, "The request cannot be parsed")


def test_garbage_after_the_answer_only_closes(address: tuple[str, int]) -> None:
    early = HEAD.replace(b"/", b"/early", 1) + b"Transfer-Encoding: chunked\r\n\r\n"
    assert exchange(address, early, b"zz\r\n").count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("sent", [b"", b"GET / HT", HEAD + b"X-Slow: ", HEAD + b"Content-Length: 0\r\n\r\nGET /"])
def test_an_unfinished_head_closes_the_connection(address: tuple[str, int], sent: bytes) -> None:
    start = monotonic()
    answered = exchange(address, sent)
    assert answered.count(b"HTTP/1.1 200") == sent.count(b"Content-Length")
    assert monotonic() - start > 0.3


def answer(connection: socket.socket) -> bytes:
    """Return one answer with a body of one byte, which may come after its head."""
    received = b""
    while b"\r\n\r\n" not in received[:-1]:
        block = connection.recv(1000)
        assert block, f"expected an answer, got the end of the connection after {received!r}"
        received += block
    return received


def test_a_slow_body_is_not_a_slow_head(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(HEAD + b"Content-Length: 3\r\n\r\na")
        sleep(0.5)
        connection.sendall(b"bc")
        assert answer(connection).endswith(b"\r\n\r\n3")


def test_a_connection_serves_many_requests(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        for _ in range(3):
            connection.sendall(HEAD + b"Content-Length: 2\r\n\r\nab")
            assert answer(connection).endswith(b"\r\n\r\n2")
            sleep(0.4)

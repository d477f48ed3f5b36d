"""Connections that are slow, broken or dropped, on a real socket."""

import asyncio
import errno
import json
import logging
import socket
from collections.abc import Iterator
from threading import Event, Semaphore, Thread
from time import monotonic, sleep
from typing import Any

import pytest
import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from yoloscope.app.http_protocol import ProblemProtocol, on_loop_error

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


LARGE = 32_000_000


class Impatient(ProblemProtocol):
    head_timeout_s = 0.3
    write_timeout_s = 0.3


class Few(ProblemProtocol):
    max_connections = 3


HELD = Semaphore(0)
"""Counts the requests for /held that the server has begun."""
ANSWERED = Event()
"""Set once they may be answered."""


async def echo(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answer / with the length of its body, /early before the body is there, /large with many bytes, /held later."""
    assert scope["type"] == "http"
    length, more = 0, scope["path"] != "/early"
    while more:
        message: Any = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = bytes(LARGE) if scope["path"] == "/large" else b"%d" % length
    size = b"%d" % len(body)
    if scope["path"] == "/held":
        HELD.release()
        await asyncio.to_thread(ANSWERED.wait, 300)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", size)], "trailers": False}
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    yield from served(Impatient)


@pytest.fixture
def crowded() -> Iterator[tuple[str, int]]:
    """A server that has three connections at most."""
    yield from served(Few)


def served(protocol: type[ProblemProtocol], servers: list[uvicorn.Server] | None = None) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(echo, port=0, http=protocol, ws="none", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    if servers is not None:
        servers.append(server)
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


def received_bytes(connection: socket.socket, pause_s: float = 0.0) -> int:
    """Read to the end and return how many bytes came."""
    total = 0
    try:
        while block := connection.recv(1_000_000):
            total += len(block)
            sleep(pause_s)
    except ConnectionResetError:
        pass
    return total


def test_a_client_that_does_not_read_is_closed(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        sleep(1.5)
        assert received_bytes(connection) < LARGE


def test_a_client_that_reads_slowly_gets_all(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert received_bytes(connection, 0.001) > LARGE


def test_the_rest_of_a_body_that_was_answered_cannot_drip_for_ever(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(HEAD.replace(b"/", b"/early", 1) + b"Content-Length: 1000\r\n\r\n")
        assert answer(connection).endswith(b"\r\n\r\n0")
        closed_by = monotonic() + 10
        while monotonic() < closed_by:
            try:
                connection.sendall(b"x")
            except OSError:
                break
            sleep(0.05)
        assert monotonic() < closed_by


def test_the_connection_that_is_awaited_for_longest_makes_place(crowded: tuple[str, int]) -> None:
    connections = [socket.create_connection(crowded, timeout=10)]
    for _ in range(3):
        sleep(0.05)
        connections.append(socket.create_connection(crowded, timeout=10))
    for connection in connections[1:]:
        connection.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 200")
    assert received_bytes(connections[0]) == 0
    for connection in connections:
        connection.close()


def test_slow_uploads_keep_nobody_out(crowded: tuple[str, int]) -> None:
    slow = [socket.create_connection(crowded, timeout=10) for _ in range(3)]
    for connection in slow:
        connection.sendall(HEAD + b"Content-Length: 2\r\n\r\na")
    sleep(0.2)
    with socket.create_connection(crowded, timeout=10) as other:
        other.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
        assert answer(other).startswith(b"HTTP/1.1 200")
    assert received_bytes(slow[0]) == 0
    for connection in slow:
        connection.close()


def test_where_none_is_awaited_a_new_connection_is_refused(crowded: tuple[str, int]) -> None:
    busy = [socket.create_connection(crowded, timeout=10) for _ in range(3)]
    for connection in busy:
        connection.sendall(HEAD.replace(b"/", b"/held", 1) + b"Content-Length: 2\r\n\r\nab")
        assert HELD.acquire(timeout=300)
    head, _, body = exchange(crowded).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"retry-after: 1" in head.lower()
    assert json.loads(body)["detail"] == "expected at most 3 connections at once, got one more; retry"
    ANSWERED.set()
    for connection in busy:
        assert answer(connection).endswith(b"\r\n\r\n2")
        connection.close()


def test_a_request_that_crosses_the_end_of_the_service_is_answered() -> None:
    servers: list[uvicorn.Server] = []
    for address in served(ProblemProtocol, servers):
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
            assert answer(connection).startswith(b"HTTP/1.1 200")
            servers[0].should_exit = True
            while servers[0].servers[0].is_serving():
                sleep(0.001)
            connection.sendall(HEAD + b"Content-Length: 2\r\n\r\nab")
            assert answer(connection).endswith(b"\r\n\r\n2")
            assert received_bytes(connection) == 0


def test_a_lack_of_descriptors_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    context = {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, "Too many")}
    on_loop_error(loop, context)
    assert [(r.levelno, r.getMessage(), r.exc_info) for r in caplog.records] == [
        (logging.ERROR, "a connection could not be accepted: Too many", None)
    ]
    on_loop_error(loop, {"message": "something else"})
    assert "something else" in caplog.text
    loop.close()

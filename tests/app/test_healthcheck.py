"""The container's own question to its service."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from yoloscope.app.healthcheck import is_ready


@pytest.fixture(params=[200, 503])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    status: int = request.param

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield str(running.server_address[1]), status
        running.shutdown()
        thread.join()


def test_ready_means_200(server: tuple[str, int]) -> None:
    port, status = server
    assert is_ready(port) == (status == 200)


def test_nobody_listening_is_not_ready() -> None:
    assert not is_ready("9")

"""Requests to an app in this process, without a socket."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Thread
from types import TracebackType
from typing import Any, Self

import httpx
import uvicorn
from fastapi import FastAPI

from yoloscope.app.http_protocol import ProblemProtocol


class Client:
    """A synchronous client around an app whose lifespan it runs."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.runner = asyncio.Runner()
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://service", timeout=60
        )
        self._lifespan = app.router.lifespan_context(app)

    def __enter__(self) -> Self:
        self.runner.run(self._lifespan.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.runner.run(self.http.aclose())
        self.runner.run(self._lifespan.__aexit__(kind, error, trace))
        self.runner.close()

    def request(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        return self.runner.run(self.http.request(method, url, **arguments))

    def get(self, url: str, **arguments: Any) -> httpx.Response:
        return self.request("GET", url, **arguments)

    def post(self, url: str, **arguments: Any) -> httpx.Response:
        return self.request("POST", url, **arguments)


def served(app: FastAPI) -> AbstractContextManager[str]:
    """Serve an app in a thread and give its address.

    It reads heads of any generated length; that longer ones than usual are refused is tested where the protocol is.
    """
    return serve_app(app, ProblemProtocol, h11_max_incomplete_event_size=1 << 24)


@contextmanager
def serve_app(app: FastAPI, protocol: type[ProblemProtocol], **options: Any) -> Iterator[str]:
    """Serve an app in a thread by a protocol and give its address."""
    config = uvicorn.Config(app, port=0, log_level="error", http=protocol, **options)
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()

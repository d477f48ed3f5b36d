"""Requests to an app in this process, without a socket."""

import asyncio
from types import TracebackType
from typing import Any, Self

import httpx
from fastapi import FastAPI


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

"""Metrics of HTTP requests: counts by route and status, times, and the reasons of refusals."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from yoloscope.app.services.metrics import Metrics

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLIENT_LEFT: Final = 499
_REASONS: Final = {
    "busy": "queue_full",
    "not-ready": "draining",
    "deadline": "deadline",
    "timeout": "slow_body",
    "request-too-large": "too_large",
    "image-too-large": "pixels",
    "image-type": "decode",
    "image-decode": "decode",
    "unauthorized": "auth",
    "too-many-requests": "rate",
}
"""The label ``reason`` of each kind of problem that is a refusal."""


class RequestMetrics:
    """ASGI middleware, the outermost: counts each request under the template of its route.

    ``paths`` are those without parameters: a request that is refused before it is routed is counted under one of them
    or under ``other``, so that clients cannot make labels.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        status, start = 0, time.perf_counter()

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            route = state.get("route") or (scope["path"] if scope["path"] in self._paths else "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(route, method, str(status or _CLIENT_LEFT)).inc()
            self._metrics.request_duration.labels(route).observe(time.perf_counter() - start)
            if not status:
                self._metrics.canceled.inc()
            if state.get("problem") in _REASONS:
                self._metrics.rejected.labels(_REASONS[state["problem"]]).inc()


class NoteRoute:
    """ASGI middleware, the innermost: notes the template of the matched route in the state of the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        try:
            await self._app(scope, receive, send)
        finally:
            path = getattr(scope.get("route"), "path", None)
            if path is not None:
                scope.setdefault("state", {})["route"] = path

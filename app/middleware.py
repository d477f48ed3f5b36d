"""What holds for all requests: the limits on a body, enforced while it arrives, and HEAD."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from yoloscope.app.errors import respond
from yoloscope.models.errors import BusyError, RequestTimeoutError, RequestTooLargeError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimits:
    """ASGI middleware: refuses bodies of more than ``max_bytes``, and bodies that pause longer than ``timeout_s``.

    A Content-Length over the limit is answered at once; without one, the bytes are counted as they come, so that no
    more than the limit is ever held. All requests together hold at most ``max_bytes_at_once``, beyond which the
    service says that it is busy.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_bytes_at_once: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_bytes_at_once = max_bytes_at_once
        self._timeout_s = timeout_s
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting ``receive``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and (len(announced) > 18 or int(announced) > self._max_bytes):
            await respond(self._too_large(announced.decode()[:18]))(scope, receive, send)
            return
        scope.setdefault("state", {})["started_at"] = time.perf_counter()
        body = _Body()
        try:
            await self._app(scope, partial(self._receive, receive, body), send)
        finally:
            self._held -= body.arrived

    async def _receive(self, receive: Receive, body: _Body) -> Message:
        if body.complete:
            return await receive()
        message = await self._next(receive)
        size = len(message.get("body", b""))
        body.arrived += size
        self._held += size
        body.complete = not message.get("more_body", False)
        if body.arrived > self._max_bytes:
            raise self._too_large(str(body.arrived))
        if self._held > self._max_bytes_at_once:
            raise BusyError(f"expected at most {self._max_bytes_at_once} bytes of bodies at once, got more; retry")
        return message

    async def _next(self, receive: Receive) -> Message:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await receive()
        except TimeoutError as error:
            raise RequestTimeoutError(
                f"expected the body to arrive without pauses over {self._timeout_s:g} s, got one"
            ) from error

    def _too_large(self, got: str) -> RequestTooLargeError:
        return RequestTooLargeError(f"expected a body of at most {self._max_bytes} bytes, got {got} or more")


class HeadAsGet:
    """ASGI middleware: answers HEAD as it would GET, without the body (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, a HEAD as GET."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


@dataclass
class _Body:
    arrived: int = 0
    complete: bool = False

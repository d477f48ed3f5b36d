"""The limits on a request's body, enforced while it arrives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.errors import respond
from models.errors import RequestTimeoutError, RequestTooLargeError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimits:
    """ASGI middleware: refuses bodies of more than ``max_bytes``, and bodies that pause longer than ``timeout_s``.

    A Content-Length over the limit is answered at once; without one, the bytes are counted as they come, so that no
    more than the limit is ever held.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting ``receive``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and (len(announced) > 18 or int(announced) > self._max_bytes):
            await respond(self._too_large(announced.decode()[:18]))(scope, receive, send)
            return
        await self._app(scope, self._limited(receive), send)

    def _limited(self, receive: Receive) -> Receive:
        arrived = 0
        complete = False

        async def counting_receive() -> Message:
            nonlocal arrived, complete
            if complete:
                return await receive()
            message = await self._next(receive)
            arrived += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if arrived > self._max_bytes:
                raise self._too_large(str(arrived))
            return message

        return counting_receive

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

"""Middleware for all requests: limits on bodies, enforced while they arrive and leave, and HEAD."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from yoloscope.app.errors import called_path, respond
from yoloscope.models.errors import BusyError, RequestTimeoutError, RequestTooLargeError, YoloscopeError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


_PIECE_BYTES: Final = 2**18


@dataclass(frozen=True)
class UploadLimits:
    """Limits on one body: its bytes, and the seconds until all of it is there."""

    max_bytes: int
    timeout_s: float


class BodyLimits:
    """ASGI middleware: bounds what requests and answers hold in memory, and for how long a body may take to arrive.

    A body has at most ``max_bytes``, pauses at most ``timeout_s`` and is there after ``total_timeout_s``; an answer has
    at most ``max_answer_bytes``. A Content-Length over the limit is answered at once; without one, the bytes are
    counted as they come, so that no more than the limit is ever held. Bodies and answers of all requests together hold
    at most ``max_bytes_at_once``, beyond which the service says that it is busy. Bodies of a POST to one of the paths
    ``uploads`` have limits of their own and are not counted there: they go to the disk.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        max_bytes_at_once: int,
        timeout_s: float,
        total_timeout_s: float,
        max_answer_bytes: int,
        uploads: Mapping[str, UploadLimits] | None = None,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_bytes_at_once = max_bytes_at_once
        self._timeout_s = timeout_s
        self._total_timeout_s = total_timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._uploads = dict(uploads or {})
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting ``receive`` and ``send``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload = self._uploads.get(called_path(scope)) if scope["method"] == "POST" else None
        limits = upload or UploadLimits(self._max_bytes, self._total_timeout_s)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and (len(announced) > 18 or int(announced) > limits.max_bytes):
            await respond(_too_large(limits, announced.decode()[:18]))(scope, receive, send)
            return
        scope.setdefault("state", {})["started_at"] = time.perf_counter()
        deadline = asyncio.get_running_loop().time() + limits.timeout_s
        body = _Body(limits, deadline, is_held=upload is None)
        answer = _Answer(scope, receive, send, body)
        try:
            await self._app(scope, partial(self._receive, receive, body), partial(self._send, answer))
        finally:
            self._held -= body.held + answer.held

    async def _receive(self, receive: Receive, body: _Body) -> Message:
        if body.complete:
            return await receive()
        message = await self._next(receive, body)
        size = len(message.get("body", b""))
        body.arrived += size
        if body.is_held:
            self._held += size
        body.complete = not message.get("more_body", False)
        if body.arrived > body.limits.max_bytes:
            raise _too_large(body.limits, str(body.arrived))
        if self._held > self._max_bytes_at_once:
            raise BusyError(f"expected at most {self._max_bytes_at_once} bytes of bodies at once, got more; retry")
        return message

    async def _next(self, receive: Receive, body: _Body) -> Message:
        left_s = body.deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(self._timeout_s, left_s)):
                return await receive()
        except TimeoutError as error:
            expected = (
                f"the whole body within {body.limits.timeout_s:g} s"
                if left_s < self._timeout_s
                else f"the body to arrive without pauses over {self._timeout_s:g} s"
            )
            raise RequestTimeoutError(f"expected {expected}, got {body.arrived} bytes and no more") from error

    async def _send(self, answer: _Answer, message: Message) -> None:
        """Pass on an answer in pieces, so that a slow client has one of them in the buffer of its connection."""
        if message["type"] == "http.response.start":
            answer.start = message
            return
        size = len(message.get("body", b""))
        if answer.start is not None:
            refusal = self._refusal(size, self._held - answer.body.held)
            if refusal is not None:
                answer.start = None
                answer.refused = True
                await respond(refusal)(answer.scope, answer.receive, answer.send)
                return
            await answer.send(answer.start)
            answer.start = None
        if not answer.refused:
            answer.held += size
            self._held += size
            await _send_in_pieces(message, answer.send)
            if message.get("more_body", False):  # an answer in parts holds one of them at a time
                answer.held -= size
                self._held -= size

    def _refusal(self, size: int, held_by_others: int) -> YoloscopeError | None:
        if size > self._max_answer_bytes:
            return RequestTooLargeError(
                f"expected a request whose answer has at most {self._max_answer_bytes} bytes, got one of {size}: "
                "ask for fewer images or less detail"
            )
        if held_by_others and held_by_others + size > self._max_bytes_at_once:
            return BusyError(f"expected at most {self._max_bytes_at_once} bytes of answers at once, got more; retry")
        return None


def _too_large(limits: UploadLimits, got: str) -> RequestTooLargeError:
    return RequestTooLargeError(f"expected a body of at most {limits.max_bytes} bytes, got {got} or more")


async def _send_in_pieces(message: Message, send: Send) -> None:
    body, more = memoryview(message.get("body", b"")), message.get("more_body", False)
    for start in range(0, len(body) or 1, _PIECE_BYTES):
        last = start + _PIECE_BYTES >= len(body)
        piece = bytes(body[start : start + _PIECE_BYTES])
        await send({**message, "body": piece, "more_body": more or not last})


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


class PathPrefix:
    """ASGI middleware: knows the prefix under which a proxy publishes the service, whether it strips it or not."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        prefixed = {**scope, "root_path": self._root_path} if self._root_path and scope["type"] == "http" else scope
        await self._app(prefixed, receive, send)


@dataclass
class _Body:
    limits: UploadLimits
    deadline: float
    is_held: bool
    arrived: int = 0
    complete: bool = False

    @property
    def held(self) -> int:
        """Bytes that are in memory."""
        return self.arrived if self.is_held else 0


@dataclass
class _Answer:
    scope: Scope
    receive: Receive
    send: Send
    body: _Body
    start: Message | None = None
    held: int = 0
    refused: bool = False

"""Requests that end before their answer: the client leaves, or the service stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from yoloscope.app.errors import respond
from yoloscope.models.errors import NotReadyError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from yoloscope.app.services.state import Services

_CLOSE: Final = (b"connection", b"close")


class Interruptions:
    """ASGI middleware: drops the work of clients that leave, and answers 503 to what a shutdown cuts off.

    While the service drains, every answer says ``Connection: close``.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on in a task that is canceled when its client leaves."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        task = asyncio.current_task()
        assert task is not None
        exchange = _Exchange(receive, send, self._services, task)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not exchange.departed and not self._services.draining:
                raise
            task.uncancel()
            if not exchange.departed and not exchange.started:
                error = NotReadyError("the service stops: the request was not done in the time that was left for it")
                await respond(error)(scope, receive, exchange.send)
        finally:
            exchange.close()


class _Exchange:
    """The messages of one request; from the end of its body on it is watched whether the client is still there."""

    def __init__(self, receive: Receive, send: Send, services: Services, task: asyncio.Task[object]) -> None:
        self._receive = receive
        self._send = send
        self._services = services
        self._task = task
        self._watcher: asyncio.Task[Message] | None = None
        self._finished = False
        self.started = False
        self.departed = False

    async def receive(self) -> Message:
        """Return the next message of the client."""
        if self._watcher is not None:
            return await asyncio.shield(self._watcher)
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._watcher = asyncio.create_task(self._watch())
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on."""
        if message["type"] == "http.response.start":
            self.started = True
            if self._services.draining:
                message = {**message, "headers": [*message.get("headers", []), _CLOSE]}
        elif not message.get("more_body", False):
            self._finished = True
        await self._send(message)

    def close(self) -> None:
        """Stop to watch."""
        if self._watcher is not None:
            self._watcher.cancel()

    async def _watch(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._finished:
            self.departed = True
            self._task.cancel()
        return message

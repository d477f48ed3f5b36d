"""Connections: what happens before there is a request."""

from __future__ import annotations

import asyncio
from typing import Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from yoloscope.app.errors import respond
from yoloscope.models.errors import MalformedRequestError

_UNANSWERED: Final = (h11.IDLE, h11.SEND_RESPONSE)


class ProblemProtocol(H11Protocol):
    """HTTP/1.1 that answers unreadable bytes as problem details, and closes connections that never send a whole head.

    A head may take ``head_timeout_s`` from the connection, or from its first byte on a connection that is kept alive.
    """

    head_timeout_s: float = 15.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first head."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes and see whether a head is still incomplete."""
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not HTTP, unless an answer is under way already, and close."""
        if self.conn.our_state in _UNANSWERED:
            answer = respond(MalformedRequestError(f"expected HTTP/1.1, got bytes that are not: {msg}"))
            headers = [*answer.raw_headers, (b"connection", b"close")]
            head = h11.Response(status_code=answer.status_code, headers=headers, reason=b"Bad Request")
            for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._stop_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

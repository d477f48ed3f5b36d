"""HTTP protocol of connections: timeouts of heads and bodies, answers to malformed heads, limit on connections."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from yoloscope.app.errors import respond
from yoloscope.app.shedding import Shedder
from yoloscope.models.errors import BusyError, MalformedRequestError, YoloscopeError

if TYPE_CHECKING:
    from yoloscope.app.services.state import Services

_UNANSWERED: Final = (h11.IDLE, h11.SEND_RESPONSE)
_RESERVED_DESCRIPTORS: Final = 64
"""For files, the listener, and connections that were accepted but not counted yet."""
_MOST_ACCEPTED: Final = 128
_LAST_REQUEST_S: Final = 0.3
"""How long an idle connection is kept when the service stops; what comes is answered, with ``Connection: close``."""

logger = logging.getLogger(__name__)


class ProblemProtocol(H11Protocol):
    """HTTP/1.1 that refuses with problem details, and that closes what is idle, stuck or one too many.

    A head may take ``head_timeout_s`` from the connection, or from its first byte on a connection that is kept alive;
    so may the rest of a body whose answer was sent already. A client takes each piece of its answer within
    ``write_timeout_s``. Of more than ``max_connections`` the one is closed whose next bytes are awaited for longest.
    """

    head_timeout_s: float = 15.0
    write_timeout_s: float = 30.0
    max_connections: int = 512
    shedder: Shedder | None = None
    idle_since: float = 0.0
    """When the connection was made or its last answer was complete, on the clock of the event loop."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first head."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._unread_bytes = 0
        super().connection_made(cast(asyncio.Transport, transport))
        self.idle_since = self.loop.time()
        self._watch_head()
        if len(self.connections) > self.max_connections:
            self._make_place()

    def data_received(self, data: bytes) -> None:
        """Take bytes and see whether a head is still incomplete."""
        if self._unread_bytes or self._is_idle:
            data = self._without_shed(data)
            if not data:
                return
        super().data_received(data)
        self._watch_head()
        if self.conn.their_state is not h11.SEND_BODY:
            self._stop("rest of the body")

    @property
    def _is_idle(self) -> bool:
        """Whether the next bytes begin a request, and nothing is left to do for the one before."""
        between = (
            self.conn.our_state is h11.IDLE and self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        )
        return between and not self.flow.write_paused and not self.transport.is_closing()

    def _without_shed(self, data: bytes) -> bytes:
        """Answer the requests that are shed, drop their bodies, and return what is left."""
        while data:
            if self._unread_bytes:
                dropped = min(self._unread_bytes, len(data))
                self._unread_bytes -= dropped
                data = data[dropped:]
                if not self._unread_bytes:
                    self._rest_between_requests()
                continue
            shed = self.shedder.refuse(data) if self.shedder is not None and self._is_idle else None
            if shed is None:
                break
            self._unset_keepalive_if_required()
            self._stop("head")
            self.transport.write(shed.answer)
            self._unread_bytes = shed.body_bytes
            data = data[shed.head_bytes :]
            if self._unread_bytes:
                self._start("rest of the body", self.head_timeout_s, self.transport.close)
            else:
                self._rest_between_requests()
        return data

    def _rest_between_requests(self) -> None:
        """Wait for the next request as after an answer."""
        self._stop("rest of the body")
        self.idle_since = self.loop.time()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        """Close once what is under way is answered: a request may be, on a connection that looks idle."""
        idle = self.cycle is None or self.cycle.response_complete
        if idle and not self.transport.is_closing():
            self._start("last request", _LAST_REQUEST_S, super().shutdown)
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        for name in list(self._timers):
            self._stop(name)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Give a client that does not read the time that is left to it."""
        super().pause_writing()
        self._start("answer", self.write_timeout_s, self._give_up_writing)

    def resume_writing(self) -> None:
        """Go on writing to a client that reads."""
        self._stop("answer")
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Wait for what the client has still to take, and to send."""
        self.idle_since = self.loop.time()
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._start("answer", self.write_timeout_s, self._give_up_writing)
        if self.conn.their_state is h11.SEND_BODY:
            self._start("rest of the body", self.head_timeout_s, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not HTTP, unless an answer is under way already, and close."""
        self._refuse(MalformedRequestError(f"expected HTTP/1.1, got bytes that are not: {msg}"))

    def _refuse(self, error: YoloscopeError) -> None:
        if self.conn.our_state in _UNANSWERED:
            answer = respond(error)
            headers = [*answer.raw_headers, (b"connection", b"close")]
            reason = HTTPStatus(answer.status_code).phrase.encode()
            head = h11.Response(status_code=answer.status_code, headers=headers, reason=reason)
            for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            logger.warning("a connection was refused with %d: %s", answer.status_code, error)
        self.transport.close()

    def _make_place(self) -> None:
        others = [other for other in self.connections if isinstance(other, ProblemProtocol) and other is not self]
        waiting = [other for other in others if other.is_waiting]
        oldest = min(waiting, key=lambda other: other.idle_since, default=None)
        if oldest is None:
            self._refuse(BusyError(f"expected at most {self.max_connections} connections at once, got one more; retry"))
        else:
            logger.warning(
                "more than %d connections: the one that was awaited for longest is closed", self.max_connections
            )
            oldest.transport.abort()

    @property
    def is_waiting(self) -> bool:
        """Whether nothing can be done but wait for the client: for a head, or for the rest of a body."""
        answered = self.cycle is None or self.cycle.response_complete
        wanted = answered or self.conn.their_state is h11.SEND_BODY
        return wanted and not self.transport.is_closing() and not self.transport.get_write_buffer_size()

    def _give_up_writing(self) -> None:
        self._stop("answer")
        if self.transport.get_write_buffer_size():
            logger.warning(
                "a client took nothing of its answer for %g s: its connection is closed", self.write_timeout_s
            )
            self.transport.abort()

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._stop("head")
        else:
            self._start("head", self.head_timeout_s, self.transport.close)

    def _start(self, name: str, delay_s: float, action: Callable[[], None]) -> None:
        """Start a timer unless it runs already."""
        if name not in self._timers:
            self._timers[name] = self.loop.call_later(delay_s, action)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


def protocol_for(services: Services) -> type[ProblemProtocol]:
    """Return the protocol with the limits of the service, as far as the process may have file descriptors."""
    settings = services.settings

    class Configured(ProblemProtocol):
        shedder = Shedder(services)
        write_timeout_s = settings.write_timeout_s
        max_connections = min(settings.max_connections, _descriptors_for_connections())

    return Configured


def _descriptors_for_connections() -> int:
    return max(8, _descriptors() - _RESERVED_DESCRIPTORS - backlog())


def backlog() -> int:
    """Return how many connections may be accepted at once, before they are counted."""
    return min(_MOST_ACCEPTED, _descriptors() // 4)


def _descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else soft


def on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log one line where there is no descriptor for a connection, for which asyncio writes a page; it tries again."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
        logger.error("a connection could not be accepted: %s", error.strerror)
    else:
        loop.default_exception_handler(context)

"""Access log: one line for each request with time, route, status and the reason of a failure."""

from __future__ import annotations

import json
import logging
import re
import time
from contextvars import ContextVar
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from uuid import uuid4

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="-")
ID_HEADER: Final = b"x-request-id"
_USABLE_ID: Final = re.compile(rb"[\w.:/+=-]{1,128}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST_REASON: Final = 1000

logger = logging.getLogger(__name__)


class RequestLog:
    """ASGI middleware: names each request, logs its end, and forbids browsers to guess the type of an answer.

    The name is the client's ``X-Request-ID`` where it is usable, else a new one; it stands in the answer and in every
    line of log that the request causes on the event loop.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(ID_HEADER, b"")
        request_id = given if _USABLE_ID.fullmatch(given) else uuid4().hex.encode()
        named = _REQUEST_ID.set(request_id.decode())
        started_at = time.perf_counter()
        status, reason = 0, ""

        async def send_named(message: Message) -> None:
            nonlocal status, reason
            if message["type"] == "http.response.start":
                status = message["status"]
                added = [(ID_HEADER, request_id), (b"x-content-type-options", b"nosniff")]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            elif status >= HTTPStatus.BAD_REQUEST:
                reason = reason or _reason(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            _log(scope, status, reason, (time.perf_counter() - started_at) * 1e3)
            _REQUEST_ID.reset(named)


def _log(scope: Scope, status: int, reason: str, took_ms: float) -> None:
    client = scope.get("client") or ("-", 0)
    outcome = str(status) if status else "no answer: the client left,"
    line = f'{client[0]} "{scope["method"]} {quote(scope["path"])}" {outcome} {took_ms:.0f} ms {reason}'.rstrip()
    level = logging.INFO if 0 < status < HTTPStatus.BAD_REQUEST else logging.WARNING
    logger.log(level, "%s", line)


def _reason(body: bytes) -> str:
    """Return the detail of a problem on one line; ``/v2`` calls it ``error``."""
    try:
        problem = json.loads(body)
        detail = str(problem["detail"] if "detail" in problem else problem["error"])
    except (ValueError, KeyError, TypeError):
        return ""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", detail)[:_LONGEST_REASON]


class WithRequestId(logging.Filter):
    """Gives every record the name of the request at work, ``-`` where there is none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attribute ``request_id``."""
        record.request_id = _REQUEST_ID.get()
        return True


class RateLimited(logging.Filter):
    """Lets ``per_second`` records of one text through in a second; the next one counts those left out.

    Requests are exempt: each has its one line.
    """

    def __init__(self, per_second: int = 10) -> None:
        super().__init__()
        self._per_second = per_second
        self._seen: dict[tuple[str, str], tuple[int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Count a record and decide."""
        if record.name == logger.name:
            return True
        key, second = (record.name, str(record.msg)), int(record.created)
        last, count = self._seen.get(key, (second, 0))
        if last == second:
            self._seen[key] = (second, count + 1)
            return count < self._per_second
        self._seen[key] = (second, 1)
        if count > self._per_second:
            record.msg = f"{record.msg} ({count - self._per_second} more like this were left out)"
        return True


def log_config(level: str) -> dict[str, Any]:
    """Return the configuration of ``logging`` for the service: lines on stderr with time, level and request."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": WithRequestId}, "rate": {"()": RateLimited}},
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s [%(request_id)s] %(message)s"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["rate", "request_id"]}
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {"uvicorn": {"level": level.upper()}, "yoloscope": {"level": level.upper()}},
    }

"""Load shedding: while the service is full, requests for inference are refused by their head alone.

An overload is mostly refusals, and each takes time from the requests that are answered: here none of a refused request
is parsed but its head, and its body is dropped unread. What is unusual in the least goes the usual way and is refused
there.
"""

from __future__ import annotations

import logging
import math
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from starlette.routing import compile_path

from yoloscope.app.errors import respond
from yoloscope.models.errors import BusyError

if TYPE_CHECKING:
    from yoloscope.app.services.state import Services

ROUTES: Final = (
    "/v1/detect",
    "/v1/score",
    "/v1/losses",
    "/v1/vision/detection",
    "/v2/models/{name}/infer",
    "/v2/models/{name}/versions/{version}/infer",
)
"""The POST routes that ask for admission before they read a body."""
_PATTERNS: Final = tuple((compile_path(route)[0], route) for route in ROUTES)
_HEAD: Final = re.compile(
    rb"POST (/[!-\"$-~]*) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[!-~ \t\x80-\xff]*\r\n)+)\r\n"
)
_NEEDED: Final = frozenset({b"host", b"content-length"})
_UNUSUAL: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"origin"})
"""Those that make a body of another kind, or an answer with other headers."""
_USABLE_ID: Final = re.compile(rb"[\w.:/+=-]{1,128}", re.ASCII)
_LONGEST_LENGTH: Final = 15
_SAY_EVERY_S: Final = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shed:
    """The answer to a request that is refused, and how many bytes its head and its body have."""

    answer: bytes
    head_bytes: int
    body_bytes: int


class Shedder:
    """Says of the first bytes of a request whether they are refused, and counts those."""

    def __init__(self, services: Services) -> None:
        self._services = services
        metrics = services.metrics
        self._requests = {route: metrics.requests.labels(route, "POST", "503") for route in ROUTES}
        self._durations = {route: metrics.request_duration.labels(route) for route in ROUTES}
        self._rejected = metrics.rejected.labels("queue_full")
        self._unsaid = 0
        self._said_at = -math.inf

    def refuse(self, data: bytes) -> Shed | None:
        """Return the refusal of the request whose whole head ``data`` begins with, None if it goes the usual way."""
        busy = self._services.limiter.refusal()
        head = None if busy is None or self._services.draining else _HEAD.match(data)
        if busy is None or head is None:
            return None
        headers = _headers(head[2])
        route = self._route(head[1])
        length = headers.get(b"content-length", b"")
        limit = self._services.settings.max_body_bytes
        if route is None or not length.isdigit() or len(length) > _LONGEST_LENGTH or int(length) > limit:
            return None
        self._count(route, busy)
        given = headers.get(b"x-request-id", b"")
        name = given if _USABLE_ID.fullmatch(given) else uuid4().hex.encode()
        start, rest = _answer(str(busy), busy.retry_after_s, route)
        return Shed(b"%sx-request-id: %s%s" % (start, name, rest), head.end(), int(length))

    def _count(self, route: str, busy: BusyError) -> None:
        self._requests[route].inc()
        self._durations[route].observe(0.0)
        self._rejected.inc()
        self._unsaid += 1
        now = time.monotonic()
        if now - self._said_at >= _SAY_EVERY_S:
            logger.warning("%d requests were refused by their head with 503: %s", self._unsaid, busy)
            self._unsaid, self._said_at = 0, now

    def _route(self, target: bytes) -> str | None:
        path = target.partition(b"?")[0].decode("ascii").removeprefix(self._services.settings.root_path)
        return next((route for pattern, route in _PATTERNS if pattern.match(path)), None)


def _headers(block: bytes) -> dict[bytes, bytes]:
    """Return the headers of a request of the usual form, none of another."""
    lines = [line.partition(b":") for line in block.split(b"\r\n")[:-1]]
    headers = {name.lower(): value.strip(b" \t") for name, _, value in lines}
    twice = len(headers) < len(lines)
    kept_alive = headers.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    usual = not twice and kept_alive and headers.keys() >= _NEEDED and not headers.keys() & _UNUSUAL
    return headers if usual else {}


@lru_cache(maxsize=256)
def _answer(text: str, retry_after_s: int | None, route: str) -> tuple[bytes, bytes]:
    """Return an answer in the form of its route, in two parts with the place of another header between them."""
    response = respond(BusyError(text, retry_after_s)).for_path(route)
    status = HTTPStatus(response.status_code)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
    lines += [b"%s: %s" % header for header in response.raw_headers]
    lines += [b"x-content-type-options: nosniff", b""]
    return b"\r\n".join(lines), b"\r\n\r\n" + bytes(response.body)

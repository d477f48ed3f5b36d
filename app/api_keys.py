"""API keys: who may call the service, and how many requests of one key are at work at once."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from yoloscope.app.errors import called_path, respond
from yoloscope.models.errors import TooManyRequestsError, UnauthorizedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_OPEN: Final = ("/", "/openapi.json", "/docs", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready")
_OPEN_BELOW: Final = ("/docs/", "/page/")
KEY_IN_FORM: Final = "/v1/vision/detection"
"""Its clients send the key as a field of the form, which the handler reads."""


class ApiKeys:
    """The keys that are known, by their SHA-256, and the requests of each that are at work; for one event loop.

    ``digests`` are hexadecimal; ``limit`` requests of one key may be at work at once, 0: any number.
    """

    def __init__(self, digests: tuple[str, ...], limit: int) -> None:
        self._digests = tuple(bytes.fromhex(text) for text in digests)
        self._limit = limit
        self._held: Counter[bytes] = Counter()

    @contextmanager
    def hold(self, key: str | None) -> Iterator[bytes]:
        """Count a request of ``key`` as at work and give the key's SHA-256.

        Raises UnauthorizedError or TooManyRequestsError.
        """
        if key is None:
            raise UnauthorizedError("expected an API key as Authorization: Bearer KEY or X-API-Key: KEY, got none")
        digest = sha256(key.encode()).digest()
        # all are compared, each in constant time, so that the time tells nothing of the keys
        if not sum(hmac.compare_digest(digest, known) for known in self._digests):
            raise UnauthorizedError("expected a known API key, got another")
        if self._limit and self._held[digest] >= self._limit:
            raise TooManyRequestsError(f"expected at most {self._limit} requests of one API key at once, got one more")
        self._held[digest] += 1
        try:
            yield digest
        finally:
            self._held[digest] -= 1


def key_in_headers(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key of a request: a bearer token, ``X-API-Key``, or the password of basic authentication."""
    given = headers.get(b"x-api-key")
    if given is not None:
        return given.decode("latin-1")
    scheme, _, value = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic":
            return _password(value)
        case _:
            return None


def _password(credentials: str) -> str | None:
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return decoded.partition(":")[2]


class RequireApiKey:
    """ASGI middleware: refuses requests without a known key, but for health, the description and its page."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if its key is known and has not too many at work."""
        if scope["type"] != "http" or _is_open(called_path(scope)):
            await self._app(scope, receive, send)
            return
        key = key_in_headers(dict(scope["headers"]))
        if key is None and called_path(scope) == KEY_IN_FORM:
            await self._app(scope, receive, send)
            return
        try:
            with self._keys.hold(key) as digest:
                scope.setdefault("state", {}).update(authorized=True, key_digest=digest)
                await self._app(scope, receive, send)
        except (UnauthorizedError, TooManyRequestsError) as error:
            await respond(error)(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith(_OPEN_BELOW)

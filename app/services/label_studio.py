"""Label Studio as the service calls it: the images of its tasks, and predictions written to them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final

import httpx

from yoloscope.models.errors import BusyError, ImageTooLargeError, RequestError, YoloscopeError

_LOGGER = logging.getLogger(__name__)

_TIMEOUT_S: Final = 30.0
_ACCESS_S: Final = 240.0
"""How long an access token is used; Label Studio's are good for five minutes."""
_MAX_TASKS: Final = 64


class LabelStudio:
    """A client of the Label Studio at ``url``; nothing is fetched from another host.

    ``token`` is a legacy token, or a personal access token, which is exchanged for short-lived ones. Work after an
    answer (``later``) is bounded, and canceled by ``close``.
    """

    def __init__(
        self, url: str, token: str = "", *, max_bytes: int, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._token, self._max_bytes = token, max_bytes
        self._http = httpx.AsyncClient(
            timeout=_TIMEOUT_S, follow_redirects=True, max_redirects=5, trust_env=False, transport=transport
        )
        self._access: tuple[str, float] = ("", 0.0)
        self._later: set[asyncio.Task[None]] = set()

    @property
    def can_write(self) -> bool:
        """True where there is a token, without which Label Studio takes nothing."""
        return bool(self._token)

    async def image(self, address: str, pointer: str) -> bytes:
        """Return an image of a task: of a data URI, or of an address at Label Studio (``/data/...``).

        Raises RequestError, which points at ``pointer`` in the request, for an address elsewhere or one that gives no
        file, and ImageTooLargeError.
        """
        if address.startswith("data:"):
            data = _decode(address, pointer)
            self._check_size(len(data), pointer)
            return data
        url = f"{self.url}{address}" if address.startswith("/") else address
        if not self._is_own(url):
            raise RequestError(f"expected an image at {self.url} or a data URI, got {address[:200]!r}", pointer)
        pieces = bytearray()
        try:
            async with self._http.stream("GET", url, headers=await self._headers()) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise RequestError(f"expected an image at {url[:200]}, got status {answer.status_code}", pointer)
                async for piece in answer.aiter_bytes():
                    pieces += piece
                    self._check_size(len(pieces), pointer)
        except httpx.HTTPError as error:
            detail = f"{type(error).__name__} {error}".strip()
            raise RequestError(f"expected an image at {url[:200]}, got: {detail}", pointer) from error
        return bytes(pieces)

    async def write_prediction(self, prediction: Mapping[str, Any]) -> None:
        """Add a prediction to its task in place of former ones of the same ``model_version``.

        Raises RequestError where Label Studio does not take it.
        """
        former = await self._ask("GET", "/api/predictions/", params={"task": str(prediction["task"])})
        await self._ask("POST", "/api/predictions/", json=prediction)
        for entry in former if isinstance(former, list) else []:
            if entry.get("model_version") == prediction["model_version"]:
                await self._ask("DELETE", f"/api/predictions/{entry['id']}/")

    async def _ask(self, method: str, path: str, **arguments: Any) -> object:  # noqa: ANN401 (as httpx.request)
        try:
            answer = await self._http.request(method, f"{self.url}{path}", headers=await self._headers(), **arguments)
        except httpx.HTTPError as error:
            raise RequestError(f"expected Label Studio at {self.url}, got: {error}") from error
        if answer.is_error:
            raise RequestError(f"{method} {path} of Label Studio: got {answer.status_code} {answer.text[:200]}")
        return _json(answer) if answer.content else None

    def later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do work that may outlast its request, whose client waits a second at most; raises BusyError."""
        if len(self._later) >= _MAX_TASKS:
            work.close()
            raise BusyError(f"expected at most {_MAX_TASKS} annotations at work at once, got one more; retry later")
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._forget)
        return task

    async def close(self) -> None:
        """Cancel what is at work and close the connections."""
        for task in tuple(self._later):
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        await self._http.aclose()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._later.discard(task)
        with suppress(asyncio.CancelledError):
            error = task.exception()
            if error is not None and not isinstance(error, YoloscopeError):
                _LOGGER.error("a review failed", exc_info=error)

    def _is_own(self, url: str) -> bool:
        try:
            own, other = httpx.URL(self.url), httpx.URL(url)
        except httpx.InvalidURL:
            return False
        return (own.scheme, own.host, own.port) == (other.scheme, other.host, other.port) and not other.userinfo

    def _check_size(self, size: int, pointer: str) -> None:
        if size > self._max_bytes:
            raise ImageTooLargeError(f"expected an image of at most {self._max_bytes} bytes, got more", pointer)

    async def _headers(self) -> dict[str, str]:
        if not self._token:
            return {}
        if self._token.count(".") < 2:
            return {"Authorization": f"Token {self._token}"}
        access, until = self._access
        if time.monotonic() >= until:
            answer = await self._http.post(f"{self.url}/api/token/refresh", json={"refresh": self._token})
            if answer.is_error:
                raise RequestError(f"expected an access token that Label Studio takes, got {answer.status_code}")
            document = _json(answer)
            access = str(document.get("access", "")) if isinstance(document, dict) else ""
            self._access = access, time.monotonic() + _ACCESS_S
        return {"Authorization": f"Bearer {access}"}


def _json(answer: httpx.Response) -> object:
    try:
        document: object = answer.json()
    except ValueError as error:
        raise RequestError(f"expected JSON of Label Studio at {answer.url.path}, got {answer.text[:60]!r}") from error
    return document


def _decode(address: str, pointer: str) -> bytes:
    head, _, text = address.partition(",")
    if not head.endswith(";base64"):
        raise RequestError(f"expected a data URI in base64, got {head[:60]!r}", pointer)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise RequestError(f"expected base64 in a data URI, got: {error}", pointer) from error

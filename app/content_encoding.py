"""Request bodies that come compressed (Content-Encoding): gzip and deflate are read, others are refused by name."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final

from yoloscope.app.errors import respond
from yoloscope.models.errors import MalformedRequestError, MediaTypeError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_WINDOW_BITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Of zlib: 16 more than 15 for a gzip header."""
_PIECE_BYTES: Final = 2**18
_MOST_EMPTY_MEMBERS: Final = 100
"""Of a gzip body: they would pass every limit on bytes, and each takes time."""


class DecompressedBodies:
    """ASGI middleware: passes compressed bodies on as if they had come plain, in pieces of at most 256 KiB.

    What follows counts the pieces, so that a small body that grows without end is refused as a large one is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body decompressed, or refuse an unknown encoding with 415."""
        headers = scope.get("headers", [])
        encoding = b",".join(value for name, value in headers if name == b"content-encoding").decode("latin-1")
        encoding = encoding.strip().lower()
        if scope["type"] != "http" or encoding in {"", "identity"}:
            await self._app(scope, receive, send)
            return
        if encoding not in _WINDOW_BITS:
            error = MediaTypeError(f"expected a body in the encoding gzip, deflate or identity, got {encoding[:100]!r}")
            await respond(error)(scope, receive, send)
            return
        dropped = {b"content-encoding", b"content-length"}
        plain = {**scope, "headers": [item for item in headers if item[0] not in dropped]}
        await self._app(plain, _Decompressed(receive, encoding).receive, send)


class _Decompressed:
    """A ``receive`` that gives the decompressed body."""

    def __init__(self, receive: Receive, encoding: str) -> None:
        self._receive = receive
        self._encoding = encoding
        self._zlib = zlib.decompressobj(_WINDOW_BITS[encoding])
        self._pending = b""
        self._complete = False
        self._has_more = False
        self._empty_members = 0

    async def receive(self) -> Message:
        """Return the next piece; raises MalformedRequestError for bytes that cannot be decompressed."""
        while True:
            if self._pending or self._has_more:
                piece = await asyncio.to_thread(self._next_piece)
            elif self._complete:
                return await self._receive()
            else:
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                self._pending = message.get("body", b"")
                self._complete = not message.get("more_body", False)
                piece = await asyncio.to_thread(self._next_piece)
            ended = self._complete and not self._pending and not self._has_more
            if ended and not self._zlib.eof:
                raise MalformedRequestError(
                    f"expected a whole body in the encoding {self._encoding}, got a part of one"
                )
            if piece or ended:
                return {"type": "http.request", "body": piece, "more_body": not ended}

    def _next_piece(self) -> bytes:
        if self._zlib.eof and self._pending:  # a gzip body may have several members
            self._zlib = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        try:
            piece = self._zlib.decompress(self._pending, _PIECE_BYTES)
        except zlib.error as error:
            raise MalformedRequestError(
                f"expected a body in the encoding {self._encoding}, got bytes that are not"
            ) from error
        if self._zlib.eof and not piece:
            self._empty_members += 1
            if self._empty_members > _MOST_EMPTY_MEMBERS:
                raise MalformedRequestError(
                    f"expected a body in the encoding {self._encoding}, got more than {_MOST_EMPTY_MEMBERS} empty parts"
                )
        self._pending = self._zlib.unused_data or self._zlib.unconsumed_tail
        self._has_more = len(piece) == _PIECE_BYTES and not self._zlib.eof
        return piece

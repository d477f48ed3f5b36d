"""Multipart bodies: whole or refused, and kept in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from fastapi import Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from models.errors import MalformedRequestError, RequestTooLargeError

_MAX_FIELDS: Final = 100
_MAX_FIELD_BYTES: Final = 64 * 1024


class WholeMultipartParser(MultiPartParser):
    """A parser that insists on the closing boundary, without which the last part would be missing silently.

    Files stay in memory, which the limits on bodies bound: a disk that is full or read-only does not matter.
    """

    spool_max_size = 0
    _ended = False

    def on_end(self) -> None:
        """Take note of the closing boundary."""
        self._ended = True

    async def parse(self) -> FormData:
        """Return the parts; raises MultiPartException."""
        self.stream = self._to_the_end(self.stream)
        return await super().parse()

    async def _to_the_end(self, stream: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        async for chunk in stream:
            yield chunk
        if not self._ended:
            raise MultiPartException("The closing boundary is missing.")


async def parse_form(request: Request, max_files: int) -> FormData:
    """Parse a multipart body; raises RequestTooLargeError over a limit, MalformedRequestError if it cannot be read."""
    try:
        async with aclosing(request.stream()) as stream:
            parser = WholeMultipartParser(
                request.headers,
                stream,
                max_files=max_files,
                max_fields=_MAX_FIELDS,
                max_part_size=_MAX_FIELD_BYTES,
            )
            return await parser.parse()
    except MultiPartException as error:
        if error.message.startswith(("Too many", "Part exceeded")):
            raise RequestTooLargeError(f"multipart: {error.message}") from error
        raise MalformedRequestError(f"expected a multipart body, got one that fails: {error.message}") from error

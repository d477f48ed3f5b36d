"""Request bodies of the three kinds: multipart, a raw image, JSON; each becomes images and options.

Multipart bodies: whole or refused, and kept in memory.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from yoloscope.app.errors import invalid_values
from yoloscope.app.schemas.detect import DetectBody, DetectOptions
from yoloscope.app.services.inference import EncodedImage
from yoloscope.app.settings import Settings
from yoloscope.models.errors import MalformedRequestError, MediaTypeError, RequestError, RequestTooLargeError

_MAX_FIELDS: Final = 100
_MAX_FIELD_BYTES: Final = 64 * 1024
_LONGEST_FILE_NAME: Final = 4096


class WholeMultipartParser(MultiPartParser):
    """A parser that insists on the closing boundary, without which the last part would be missing silently.

    Parts named in ``file_names`` are files, with a filename or without. Files stay in memory, which the limits on
    bodies bound: a disk that is full or read-only does not matter.
    """

    spool_max_size = 0
    file_names: Sequence[str] = ()
    _ended = False

    def on_headers_finished(self) -> None:
        """Begin a part: a file by its name or by its filename."""
        disposition = self._current_part.content_disposition
        _, options = parse_options_header(disposition)
        if b"filename" not in options and options.get(b"name", b"").decode("latin-1") in self.file_names:
            self._current_part.content_disposition = (disposition or b"") + b'; filename=""'
        super().on_headers_finished()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Take bytes of a part; raises RequestTooLargeError for a text that is too long."""
        part = self._current_part
        if part.file is None and len(part.data) + end - start > self.max_part_size:
            raise RequestTooLargeError(
                f"expected at most {self.max_part_size} bytes of text in the part {part.field_name[:100]!r}, got more; "
                f"files belong into parts named {' or '.join(self.file_names)}",
                f"/{part.field_name[:100]}",
            )
        super().on_part_data(data, start, end)

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


async def parse_form(
    request: Request,
    max_files: int,
    file_names: Sequence[str],
    parser_type: type[WholeMultipartParser] = WholeMultipartParser,
) -> FormData:
    """Parse a multipart body whose files are in parts named ``file_names``.

    Raises RequestTooLargeError over a limit, MalformedRequestError if it cannot be read.
    """
    try:
        async with aclosing(request.stream()) as stream:
            parser = parser_type(
                request.headers,
                stream,
                max_files=max_files,
                max_fields=_MAX_FIELDS,
                max_part_size=_MAX_FIELD_BYTES,
            )
            parser.file_names = file_names
            return await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many"):
            raise RequestTooLargeError(f"multipart: {error.message}") from error
        raise MalformedRequestError(f"expected a multipart body, got one that fails: {error.message}") from error


_REPEATABLE: Final = frozenset({"classes", "prevalence"})
_RAW: Final = "application/octet-stream"
_URL_SAFE_DIGITS: Final = frozenset("-_")
_STANDARD_DIGITS: Final = str.maketrans("-_", "+/")

Options = TypeVar("Options", bound=BaseModel)


@dataclass(frozen=True)
class Upload:
    """The images of a request, still encoded, and the options that came in its body."""

    images: list[EncodedImage]
    options: dict[str, Any]


async def read_upload(request: Request, settings: Settings) -> Upload:
    """Read a detection body by its content type; a body without one is taken as a raw image.

    Raises MediaTypeError, MalformedRequestError, RequestTooLargeError or RequestError with a pointer.
    """
    kind = request.headers.get("content-type", _RAW).partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_multipart(request, settings)
    if kind == "application/json":
        return await asyncio.to_thread(_read_json, await request.body(), settings)
    if kind.startswith("image/") or kind in {_RAW, ""}:
        return Upload([EncodedImage(await _read_raw(request, settings))], {})
    raise MediaTypeError(
        f"expected multipart/form-data, application/json, image/* or {_RAW}, got {kind!r} "
        "(with curl: -F image=@image.jpg, or -H 'Content-Type: image/jpeg' --data-binary @image.jpg)"
    )


async def _read_raw(request: Request, settings: Settings) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > settings.max_bytes:
            raise RequestTooLargeError(f"expected an image of at most {settings.max_bytes} bytes, got more")
    return b"".join(chunks)


async def _read_multipart(request: Request, settings: Settings) -> Upload:
    form = await parse_form(request, settings.max_images, ("image",))
    try:
        texts: list[tuple[str, str]] = []
        images: list[bytes] = []
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "image":
                    raise RequestError("expected images in parts named image", f"/{name}")
                images.append(await read_file(name, value))
            else:
                texts.append((name, value))
    finally:
        await form.close()
    if not images:
        raise RequestError("expected at least one file part named image, got none", "/image")
    placed = [EncodedImage(data, pointer) for data, pointer in zip(images, image_pointers(len(images)), strict=True)]
    return Upload(placed, validated(DetectOptions, single_values(texts)))


def image_pointers(count: int) -> list[str]:
    """Return the JSON pointers of the images of a request: ``/image``, or ``/images/0``, ``/images/1`` and so on."""
    return ["/image"] if count == 1 else [f"/images/{index}" for index in range(count)]


async def read_file(name: str, part: UploadFile) -> bytes:
    """Return the content of a binary part; raises RequestError for the name of a file in the place of the file."""
    data = await part.read()
    if not part.filename and len(data) <= _LONGEST_FILE_NAME and data.isascii():
        text = data.decode()
        if text.isprintable():
            raise RequestError(
                f"expected a file, got the text {text!r} (curl sends a file with -F {name}=@file)", f"/{name}"
            )
    return data


def single_values(items: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return form or query items as a mapping; only the repeatable ones, also split by commas, may come repeatedly."""
    values: dict[str, Any] = {}
    for name, value in items:
        if name in _REPEATABLE:
            values.setdefault(name, []).extend(part.strip() for part in value.split(","))
        elif name in values:
            raise RequestError("expected one value, got several", f"/{name}")
        else:
            values[name] = value
    return values


def validated(schema: type[Options], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that were given, checked by ``schema``; raises a RequestError with pointers."""
    try:
        return schema.model_validate(values).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise invalid_values(error, list(schema.model_fields)) from error


def query_options(request: Request, schema: type[Options]) -> dict[str, Any]:
    """Return the options in the query of a request, checked by ``schema``."""
    return validated(schema, single_values(request.query_params.multi_items()))


def merged(schema: type[Options], query: Mapping[str, Any], body: Mapping[str, Any]) -> Options:
    """Return the options of query and body together; an option may be in both if its values are equal.

    Swagger UI sends the defaults that it shows in both places. Raises RequestError for two values of one option.
    """
    for name in sorted(query.keys() & body.keys()):
        if query[name] != body[name]:
            raise RequestError(
                f"expected one value, got {query[name]!r} in the query and {body[name]!r} in the body", f"/{name}"
            )
    return schema(**{**query, **body})


def _read_json(data: bytes, settings: Settings) -> Upload:
    try:
        document = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError(f"expected a JSON body, got one that fails: {error}") from error
    try:
        body = DetectBody.model_validate(document, strict=True)
    except ValidationError as error:
        raise invalid_values(error, list(DetectBody.model_fields)) from error
    encoded = body.encoded()
    if len(encoded) > settings.max_images:
        raise RequestTooLargeError(f"expected at most {settings.max_images} images, got {len(encoded)}", "/images")
    pointers = ["/image"] if body.image is not None else [f"/images/{index}" for index in range(len(encoded))]
    images = [
        EncodedImage(decode_base64(text, pointer), pointer) for text, pointer in zip(encoded, pointers, strict=True)
    ]
    return Upload(images, body.model_dump(exclude_unset=True, exclude={"image", "images"}))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def decode_base64(text: str, pointer: str) -> bytes:
    """Decode base64; that of the URL-safe alphabet, which is often sent so, may lack its padding.

    A ``data:...;base64,`` prefix in any case and line breaks are allowed. Raises RequestError.
    """
    if text[:5].lower() == "data:":
        text = text.partition(",")[2]
    digits = "".join(text.split())
    if not _URL_SAFE_DIGITS.isdisjoint(digits):
        digits = digits.translate(_STANDARD_DIGITS) + "=" * (-len(digits) % 4)
    try:
        return base64.b64decode(digits, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"expected base64, got text that fails: {error}", pointer) from error

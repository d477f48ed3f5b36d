"""Requests for audits: a zip as a form or a raw body, written to disk while it arrives, and options."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, cast

from fastapi import Request
from starlette.datastructures import FormData, Headers, UploadFile

from yoloscope.app.openapi import BINARY
from yoloscope.app.requests.body import (
    WholeMultipartParser,
    merged,
    parse_form,
    query_options,
    single_values,
    validated,
)
from yoloscope.app.schemas.audits import AuditOptions, CorrectionOptions
from yoloscope.app.services.audits.archive import MAGIC
from yoloscope.models.errors import MediaTypeError, RequestError, RequestTooLargeError, StorageError
from yoloscope.models.scratch import unnamed_file

ZIP_MEDIA_TYPE: Final = "application/zip"
_RAW_KINDS: Final = (ZIP_MEDIA_TYPE, "application/x-zip-compressed", "application/octet-stream")
_EXAMPLE: Final = "curl -F data=@cells.zip, or -H 'Content-Type: application/zip' --data-binary @cells.zip"
_CORRECTION_EXAMPLE: Final = "curl -F data=@cells.zip -F decisions=@decisions.json"
_LONGEST_NAME: Final = 60
_PART: Final = "data"
_DECISIONS: Final = "decisions"
_MAX_DECISIONS_BYTES: Final = 64 * 2**20


@dataclass(frozen=True)
class AuditUpload:
    """A zip on disk that is yet to be checked, the name of its data set, and the options."""

    file: BinaryIO
    name: str
    options: AuditOptions


@dataclass(frozen=True)
class CorrectionUpload:
    """A zip on disk that is yet to be checked, the name of its data set, decisions.json, and the options."""

    file: BinaryIO
    name: str
    decisions: bytes
    options: CorrectionOptions


class _DiskParser(WholeMultipartParser):
    """A parser whose files go to a folder."""

    folder = Path()

    def on_headers_finished(self) -> None:
        """Begin a part, a file of the disk where it is one."""
        super().on_headers_finished()
        part = self._current_part
        if part.file is not None:
            file = unnamed_file(self.folder)
            self._files_to_close_on_error.append(cast("Any", file))
            part.file.file.close()
            part.file = UploadFile(file, size=0, filename=part.file.filename, headers=Headers(raw=part.item_headers))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Take bytes of a part; raises MediaTypeError as soon as a file is seen to be no zip."""
        part = self._current_part
        if part.file is not None and part.field_name == _PART and part.file.size == 0 and end - start >= 4:
            _check_magic(data[start:end])
        super().on_part_data(data, start, end)


@asynccontextmanager
async def audit_upload(request: Request, folder: Path) -> AsyncIterator[AuditUpload]:
    """Read a request for an audit; its file is deleted at the end.

    Raises MediaTypeError, MalformedRequestError, RequestTooLargeError, RequestError with a pointer, or StorageError
    where the disk is full.
    """
    query = query_options(request, AuditOptions)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        reading = _form(request, folder, query)
    elif kind in _RAW_KINDS:
        reading = _raw(request, folder, query)
    else:
        raise MediaTypeError(f"expected multipart/form-data or {ZIP_MEDIA_TYPE} ({_EXAMPLE}), got {kind!r}")
    try:
        upload = await reading
    except OSError as error:
        raise StorageError(f"expected room for the zip, got: {error.strerror or error}") from error
    try:
        yield upload
    finally:
        await asyncio.to_thread(upload.file.close)


@asynccontextmanager
async def correction_upload(request: Request, folder: Path) -> AsyncIterator[CorrectionUpload]:
    """Read a request for a corrected copy; its file is deleted at the end. Raises as ``audit_upload`` does."""
    query = query_options(request, CorrectionOptions)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise MediaTypeError(f"expected multipart/form-data ({_CORRECTION_EXAMPLE}), got {kind!r}")
    try:
        form = await parse_form(request, 2, (_PART, _DECISIONS), _disk_parser(folder))
    except OSError as error:
        raise StorageError(f"expected room for the zip, got: {error.strerror or error}") from error
    try:
        (data, decisions), texts = _files_and_texts(form, (_PART, _DECISIONS), _CORRECTION_EXAMPLE)
        options = merged(CorrectionOptions, query, validated(CorrectionOptions, single_values(texts)))
        if (decisions.size or 0) > _MAX_DECISIONS_BYTES:
            raise RequestTooLargeError(
                f"expected decisions of at most {_MAX_DECISIONS_BYTES} bytes, got {decisions.size}", f"/{_DECISIONS}"
            )
        yield CorrectionUpload(data.file, _name_of(data.filename or ""), await decisions.read(), options)
    finally:
        await form.close()


async def _raw(request: Request, folder: Path, query: dict[str, Any]) -> AuditUpload:
    file = await asyncio.to_thread(unnamed_file, folder)
    try:
        async with aclosing(request.stream()) as stream:
            empty = True
            async for chunk in stream:
                if empty and chunk:
                    _check_magic(chunk)
                    empty = False
                await asyncio.to_thread(file.write, chunk)
    except BaseException:
        file.close()
        raise
    return AuditUpload(file, "data", AuditOptions(**query))


async def _form(request: Request, folder: Path, query: dict[str, Any]) -> AuditUpload:
    form = await parse_form(request, 1, (_PART,), _disk_parser(folder))
    try:
        part, options = _parts(form, query)
    except BaseException:
        await form.close()
        raise
    return AuditUpload(part.file, _name_of(part.filename or ""), options)


def _parts(form: FormData, query: dict[str, Any]) -> tuple[UploadFile, AuditOptions]:
    (part,), texts = _files_and_texts(form, (_PART,), _EXAMPLE)
    return part, merged(AuditOptions, query, validated(AuditOptions, single_values(texts)))


def _files_and_texts(
    form: FormData, names: tuple[str, ...], example: str
) -> tuple[list[UploadFile], list[tuple[str, str]]]:
    """Return the files of a form in the order of their ``names``, each of which is there once, and its texts."""
    texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
    if sorted(name for name, _ in files) != sorted(names):
        got = ", ".join(name[:100] for name, _ in files) or "none"
        expected = " and ".join(f"one file part named {name}" for name in names)
        raise RequestError(f"expected {expected} ({example}), got {got}", f"/{names[0]}")
    by_name = dict(files)
    return [by_name[name] for name in names], texts


def _disk_parser(folder_of_files: Path) -> type[WholeMultipartParser]:
    class Parser(_DiskParser):
        folder = folder_of_files

    return Parser


def _check_magic(data: bytes) -> None:
    if not data.startswith(tuple(magic[: len(data)] for magic in MAGIC)):
        raise MediaTypeError(f"expected a zip, got a file that begins with {data[:4]!r}")


def _name_of(filename: str) -> str:
    """Return the name of the data set: that of its zip, in letters that are safe as a folder."""
    stem = PurePosixPath(filename.replace("\\", "/")).name.removesuffix(".zip")
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in stem)
    return safe.strip("._")[:_LONGEST_NAME] or "data"


def audit_body() -> dict[str, Any]:
    """Return the ``requestBody`` of a request for an audit."""
    text = "Zip of a data set: COCO, VOC or YOLO."
    form = {
        "title": "AuditForm",
        "description": "The options of the query are taken as text fields too.",
        "type": "object",
        "properties": {_PART: {**BINARY, "description": text}},
        "required": [_PART],
    }
    content = {"multipart/form-data": {"schema": form}, ZIP_MEDIA_TYPE: {"schema": BINARY}}
    return {"requestBody": {"required": True, "content": content}}


def correction_body() -> dict[str, Any]:
    """Return the ``requestBody`` of a request for a corrected copy."""
    form = {
        "title": "CorrectionForm",
        "description": "The options of the query are taken as text fields too.",
        "type": "object",
        "properties": {
            _PART: {**BINARY, "description": "Zip of the data set that was audited."},
            _DECISIONS: {**BINARY, "description": "decisions.json, as the page of a report saves it."},
        },
        "required": [_PART, _DECISIONS],
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}

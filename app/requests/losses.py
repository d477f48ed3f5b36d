"""Requests for the loss of raw heads: JSON, or a form with an npz file; a detector's spec and labels come along."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import numpy as np
from fastapi import Depends, Request
from numpy.typing import NDArray
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from yoloscope.app.errors import invalid_values
from yoloscope.app.requests.body import parse_form, read_file
from yoloscope.app.requests.detect import JSON_MEDIA_TYPE, ServicesDependency
from yoloscope.app.requests.npz import read_npz
from yoloscope.app.schemas.losses import LossesBody, LossesRequest
from yoloscope.app.services.losses import MAX_VALUES, LossQuery
from yoloscope.app.services.torch_import import import_torch
from yoloscope.models.errors import MalformedRequestError, MediaTypeError, RequestError, RequestTooLargeError

MAX_JSON_BYTES: Final = 2 * 2**20
"""Of a request in JSON, which takes some fifty times its bytes once parsed; larger heads come as npz."""
_PARTS: Final = ("heads", "request")
_SHOWN: Final = 100

Document = TypeVar("Document", bound=LossesRequest)


async def get_loss_query(request: Request, services: ServicesDependency) -> LossQuery:
    """Read a request for a loss; a full queue refuses it before its body is read."""
    services.limiter.check()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON_MEDIA_TYPE:
        return await asyncio.to_thread(_from_json, await request.body())
    if kind != "multipart/form-data":
        raise MediaTypeError(
            f"expected {JSON_MEDIA_TYPE}, or multipart/form-data (curl -F heads=@heads.npz -F request=@request.json), "
            f"got {kind or 'no content type'!r}"
        )
    form = await parse_form(request, len(_PARTS), _PARTS)
    try:
        parts = await _read_parts(form)
    finally:
        await form.close()
    return await asyncio.to_thread(_from_parts, parts)


LossQueryDependency = Annotated[LossQuery, Depends(get_loss_query)]


async def _read_parts(form: FormData) -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    for name, value in form.multi_items():
        if name not in _PARTS or name in parts:
            raise RequestError(f"expected one part named heads and one named request, got {name[:_SHOWN]!r}", "")
        assert isinstance(value, UploadFile)
        parts[name] = await (read_file(name, value) if name == "heads" else value.read())
    for name in _PARTS:
        if name not in parts:
            raise RequestError(f"expected one part named {name}, got none", f"/{name}")
    return parts


def _from_parts(parts: dict[str, bytes]) -> LossQuery:
    document = _parsed(LossesRequest, parts["request"])
    names = [f"head_{index}" for index in range(len(document.spec.heads))]
    return _query(document, partial(read_npz, parts["heads"], names, MAX_VALUES, "/heads"))


def _from_json(data: bytes) -> LossQuery:
    body = _parsed(LossesBody, data)
    if len(body.heads) != len(body.spec.heads):
        raise RequestError(f"expected {len(body.spec.heads)} heads, as in the spec, got {len(body.heads)}", "/heads")
    ranks = [2 if head.kind == "detection" else 4 for head in body.spec.heads]
    arrays = [
        _nested_array(head, rank, body.dtype, f"/heads/{index}")
        for index, (head, rank) in enumerate(zip(body.heads, ranks, strict=True))
    ]
    return _query(body, lambda: arrays)


def _parsed(schema: type[Document], data: bytes) -> Document:
    if len(data) > MAX_JSON_BYTES:
        raise RequestTooLargeError(
            f"expected at most {MAX_JSON_BYTES} bytes of JSON, got {len(data)}; larger heads come as npz in a form"
        )
    try:
        return schema.model_validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise MalformedRequestError(f"expected a JSON body, got one that fails: {first['msg']}") from error
        raise invalid_values(error, list(schema.model_fields)) from error


def _query(request: LossesRequest, read_heads: Callable[[], Sequence[NDArray[Any]]]) -> LossQuery:
    import_torch()
    from yoloscope.app.requests.loss_query import loss_query  # noqa: PLC0415 - a service that only detects does without

    return loss_query(request, read_heads)


def _nested_array(value: object, rank: int, dtype: str, pointer: str) -> NDArray[Any]:
    """Return nested lists of numbers as an array of ``rank`` axes; the first entries give its shape."""
    shape: list[int] = []
    node = value
    for _ in range(rank):
        if not isinstance(node, list) or not node:
            raise RequestError(f"expected lists in lists, {rank} deep, got {_kind(node)}", pointer)
        shape.append(len(node))
        node = node[0]
    numbers: list[float] = []
    _flatten(value, shape, pointer, numbers)
    try:
        with np.errstate(over="ignore"):
            return np.array(numbers, np.float64).astype(dtype).reshape(shape)
    except OverflowError as error:
        raise RequestError(f"expected numbers of {dtype}, got a larger one", pointer) from error


def _flatten(value: object, shape: Sequence[int], pointer: str, numbers: list[float]) -> None:
    if not isinstance(value, list) or len(value) != shape[0]:
        raise RequestError(f"expected a list of {shape[0]}, as in its first neighbors, got {_kind(value)}", pointer)
    if len(shape) > 1:
        for index, inner in enumerate(value):
            _flatten(inner, shape[1:], f"{pointer}/{index}", numbers)
        return
    for index, number in enumerate(value):
        if type(number) not in {int, float}:
            raise RequestError(f"expected a number, got {_kind(number)}", f"{pointer}/{index}")
    numbers += value


def _kind(value: object) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    names = {bool: "a boolean", str: "a text", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")

"""Inference requests of the Open Inference Protocol: tensors as JSON, or as bytes behind it."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from yoloscope.app.errors import invalid_values
from yoloscope.app.openapi import HEADER_LENGTH
from yoloscope.app.requests.body import decode_base64
from yoloscope.app.schemas.inference_protocol import InferRequest, Parameters, RequestInput
from yoloscope.app.services.tensor_models import NUMPY_TYPES, TensorInfo, TensorModel, TensorQuery, Tensors
from yoloscope.models.errors import MalformedRequestError, RequestError

_LENGTH: Final = struct.Struct("<I")

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class InferCall:
    """An inference request: its id, the query to the model, and the outputs that are wanted as bytes."""

    id: str | None
    query: TensorQuery
    binary_outputs: frozenset[str]


def parse_body(schema: type[Body], data: bytes) -> Body:
    """Return a JSON body, checked by ``schema``; an empty one is ``{}``. Raises RequestError."""
    try:
        document = json.loads(data or b"{}", parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise MalformedRequestError("expected a JSON body in UTF-8, got bytes that are not") from error
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError(f"expected a JSON body, got one that fails: {error}") from error
    try:
        return schema.model_validate(document)
    except ValidationError as error:
        raise invalid_values(error, list(schema.model_fields)) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def read_infer_request(data: bytes, header_length: str | None, model: TensorModel) -> InferCall:
    """Return the inference in a body, whose first ``header_length`` bytes (None: all) are JSON.

    A length of 0 is Triton's raw request: the whole body is the one element of the model's one input. Raises
    RequestError, in words and pointers of the protocol.
    """
    size = _header_size(header_length, len(data))
    if size == 0 and header_length is not None:
        request, inputs = InferRequest.model_construct(inputs=[]), _raw_input(data, model)
    else:
        try:
            request = parse_body(InferRequest, data[:size])
        except MalformedRequestError as error:
            rule = f"{HEADER_LENGTH} says how many bytes of a body are JSON where others follow"
            raise MalformedRequestError(f"{error} ({rule}; got {header_length or 'none'})") from error
        _check_model(request, model)
        inputs = _read_inputs(request.inputs, memoryview(data)[size:], model)
    parameters = dict(request.parameters or {})
    binary = _flag(parameters, "binary_data_output", "/parameters", header_length == "0")
    unknown = sorted(parameters.keys() - model.parameters)
    if unknown:
        known = ", ".join(sorted(model.parameters | {"binary_data_output"}))
        raise RequestError(f"expected one of the parameters {known}, got {unknown[0]!r}", "/parameters")
    names, as_bytes = _wanted(request, model, binary)
    return InferCall(request.id, TensorQuery(inputs, names, parameters), as_bytes)


def _check_model(request: InferRequest, model: TensorModel) -> None:
    """Raise RequestError where the body names another model than the address."""
    if request.model_name not in {None, model.name}:
        raise RequestError(f"expected {model.name!r} as in the address, got {request.model_name!r}", "/model_name")
    if request.model_version not in {None, "", model.runtime.version}:
        raise RequestError(f"expected {model.runtime.version!r}, got {request.model_version!r}", "/model_version")


def _header_size(text: str | None, total: int) -> int:
    if text is None:
        return total
    if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) > total:
        raise MalformedRequestError(f"{HEADER_LENGTH}: expected a number of bytes in 0..{total}, got {text[:50]!r}")
    return int(text)


def _raw_input(data: bytes, model: TensorModel) -> Tensors:
    required = [info for info in model.inputs if not info.optional]
    if len(required) != 1 or required[0].datatype != "BYTES":
        raise RequestError(f"{HEADER_LENGTH}: expected a header, which the tensors of {model.name!r} need, got none")
    if not data:
        raise RequestError(f"expected one element of {required[0].name!r} in the body, got none")
    return {required[0].name: np.array([data], object)}


def _wanted(request: InferRequest, model: TensorModel, binary: bool) -> tuple[list[str], frozenset[str]]:  # noqa: FBT001
    """Return the names of the wanted outputs, and those of them that go as bytes behind the JSON."""
    known = [info.name for info in model.outputs]
    if not request.outputs:
        return known, frozenset(known if binary else ())
    names, as_bytes = list[str](), set[str]()
    for index, output in enumerate(request.outputs):
        parameters = dict(output.parameters or {})
        if _flag(parameters, "binary_data", f"/outputs/{index}/parameters", binary):
            as_bytes.add(output.name)
        if parameters:
            raise RequestError(
                f"expected the parameter binary_data, got {min(parameters)!r}", f"/outputs/{index}/parameters"
            )
        if output.name not in known or output.name in names:
            raise RequestError(
                f"expected outputs of {model.name!r}, each once: {', '.join(known)}; got {output.name[:100]!r}",
                f"/outputs/{index}/name",
            )
        names.append(output.name)
    return names, frozenset(as_bytes)


def _flag(parameters: Parameters, name: str, pointer: str, default: bool) -> bool:  # noqa: FBT001
    """Take a parameter that is true or false; raises RequestError for another value."""
    value = parameters.pop(name, default)
    if not isinstance(value, bool):
        raise RequestError(f"expected true or false, got {value!r}", f"{pointer}/{name}")
    return value


def _read_inputs(given: Sequence[RequestInput], blob: memoryview, model: TensorModel) -> Tensors:
    known = {info.name: info for info in model.inputs}
    tensors: Tensors = {}
    for index, item in enumerate(given):
        pointer = f"/inputs/{index}"
        info = known.get(item.name)
        if info is None or item.name in tensors:
            raise RequestError(
                f"expected inputs of {model.name!r}, each once: {', '.join(known)}; got {item.name[:100]!r}",
                f"{pointer}/name",
            )
        _check_type(item, info, pointer)
        size = _binary_size(item.parameters, pointer)
        if (size is None) == (item.data is None):
            raise RequestError("expected either data or the parameter binary_data_size", pointer)
        if size is None:
            tensors[item.name] = _from_json(item.data or [], item, pointer)
        else:
            if size > len(blob):
                raise RequestError(f"expected {size} bytes behind the JSON, got {len(blob)}", pointer)
            tensors[item.name], blob = _from_bytes(blob[:size], item, pointer), blob[size:]
    missing = [info.name for info in model.inputs if not info.optional and info.name not in tensors]
    if missing:
        raise RequestError(f"expected the input {missing[0]!r}, got none", "/inputs")
    if len(blob):
        raise RequestError(f"expected no bytes behind the last tensor, got {len(blob)}", "/inputs")
    return tensors


def _check_type(item: RequestInput, info: TensorInfo, pointer: str) -> None:
    if item.datatype != info.datatype:
        raise RequestError(f"expected the datatype {info.datatype}, got {item.datatype[:50]!r}", f"{pointer}/datatype")
    fits = len(item.shape) == len(info.shape) and all(
        wanted in {-1, got} for wanted, got in zip(info.shape, item.shape, strict=True)
    )
    if not fits:
        raise RequestError(f"expected the shape {list(info.shape)}, got {item.shape}", f"{pointer}/shape")


def _binary_size(parameters: Parameters | None, pointer: str) -> int | None:
    given = dict(parameters or {})
    size = given.pop("binary_data_size", None)
    if given:
        raise RequestError(f"expected the parameter binary_data_size, got {min(given)!r}", f"{pointer}/parameters")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
        raise RequestError(f"expected a number of bytes, got {size!r}", f"{pointer}/parameters/binary_data_size")
    return size


def _from_bytes(data: memoryview, item: RequestInput, pointer: str) -> NDArray[Any]:
    count = math.prod(item.shape)
    if item.datatype == "BYTES":
        elements = _split_elements(data, pointer)
        if len(elements) != count:
            raise RequestError(f"expected {count} elements for the shape {item.shape}, got {len(elements)}", pointer)
        return _objects(elements)
    dtype = NUMPY_TYPES[item.datatype]
    if len(data) != count * dtype.itemsize:
        raise RequestError(
            f"expected {count * dtype.itemsize} bytes for the shape {item.shape}, got {len(data)}", pointer
        )
    return np.frombuffer(data, dtype).reshape(item.shape)


def _split_elements(data: memoryview, pointer: str) -> list[bytes]:
    """Return the elements of a BYTES tensor, each preceded by its length in four bytes, the lowest first."""
    elements, start = list[bytes](), 0
    while start < len(data):
        end = start + _LENGTH.size
        if end <= len(data):
            (size,) = _LENGTH.unpack(data[start:end])
            start, end = end, end + size
        if end > len(data):
            raise RequestError("expected elements with their lengths before them, got a part of one", pointer)
        elements.append(bytes(data[start:end]))
        start = end
    return elements


def _from_json(data: Sequence[Any], item: RequestInput, pointer: str) -> NDArray[Any]:
    count = math.prod(item.shape)
    if item.datatype == "BYTES":
        return _objects([_from_base64(text, f"{pointer}/data/{index}") for index, text in enumerate(data)], count)
    try:
        values = np.array(data)
    except (ValueError, OverflowError) as error:
        raise RequestError("expected numbers, flat or nested as the shape, got others", f"{pointer}/data") from error
    if values.shape not in {(count,), tuple(item.shape)}:
        raise RequestError(
            f"expected {count} numbers, flat or nested as the shape {item.shape}, got the shape {list(values.shape)}",
            f"{pointer}/data",
        )
    dtype = NUMPY_TYPES[item.datatype]
    kinds = "iuf" if dtype.kind == "f" else "iu"
    low, high = (0, 255) if dtype.kind == "u" else (-3e38, 3e38)
    if count and (values.dtype.kind not in kinds or values.min() < low or values.max() > high):
        raise RequestError(f"expected numbers of the datatype {item.datatype}, got others", f"{pointer}/data")
    return values.astype(dtype).reshape(item.shape)


def _from_base64(text: object, pointer: str) -> bytes:
    if not isinstance(text, str):
        raise RequestError(f"expected base64, got {type(text).__name__}", pointer)
    try:
        return decode_base64(text, pointer)
    except RequestError as error:
        raise RequestError(f"{error} (raw bytes go behind the JSON)", pointer) from error


def _objects(elements: Sequence[bytes], count: int | None = None) -> NDArray[Any]:
    if count is not None and len(elements) != count:
        raise RequestError(f"expected {count} elements for the shape, got {len(elements)}")
    array = np.empty(len(elements), object)
    array[:] = elements
    return array


def header_length(headers: Mapping[str, str]) -> str | None:
    """Return how many bytes of a body are JSON, as the client wrote it; None: all."""
    return headers.get(HEADER_LENGTH)

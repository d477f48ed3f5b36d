"""Arrays of numbers from an npz file of a request: nothing is unpickled, and no more is unpacked than was expected."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import IO, Final, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from yoloscope.models.errors import MalformedRequestError, RequestError, RequestTooLargeError

FloatArray = NDArray[np.float16] | NDArray[np.float32] | NDArray[np.float64]

_END_BYTES: Final = 22
_LOCATOR_BYTES: Final = 20
_MAX_DIRECTORY_BYTES: Final = 64 * 1024
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_HEADERS: Final = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_UNREADABLE: Final = (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def read_npz(data: bytes, names: Sequence[str], max_values: int, pointer: str) -> list[FloatArray]:
    """Return the arrays of an npz file, which must hold exactly those of ``names``, in their order.

    Float arrays of 16, 32 or 64 bits are read, together of at most ``max_values`` values, as ``numpy.savez`` and
    ``savez_compressed`` write them. Raises MalformedRequestError, RequestTooLargeError, or RequestError with a pointer.
    """
    _check_directory(data, pointer)
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return _read_all(archive, names, max_values, pointer)
    except _UNREADABLE as error:
        raise MalformedRequestError(f"expected an npz file, got one that fails: {error}", pointer) from error


def _check_directory(data: bytes, pointer: str) -> None:
    """Bound the list of entries, before all of it is read."""
    end = data[-_END_BYTES:]
    locator = data[-_END_BYTES - _LOCATOR_BYTES : -_END_BYTES]
    if len(end) < _END_BYTES or not end.startswith(b"PK\5\6") or locator.startswith(b"PK\6\7"):
        raise MalformedRequestError("expected an npz file as numpy.savez writes it, got another file", pointer)
    size = int.from_bytes(end[12:16], "little")
    if size > _MAX_DIRECTORY_BYTES:
        raise RequestTooLargeError(f"expected a list of entries of at most {_MAX_DIRECTORY_BYTES} bytes, got {size}")


def _read_all(archive: zipfile.ZipFile, names: Sequence[str], max_values: int, pointer: str) -> list[FloatArray]:
    entries = archive.infolist()
    found = [entry.filename.removesuffix(".npy") for entry in entries]
    if sorted(found) != sorted(names):
        raise RequestError(f"expected the arrays {', '.join(names)}, got {', '.join(found[:20]) or 'none'}", pointer)
    by_name = dict(zip(found, entries, strict=True))
    arrays: list[FloatArray] = []
    for name in names:
        if by_name[name].compress_type not in _METHODS:
            raise RequestError(f"{name}: expected it stored or deflated, got another compression", pointer)
        with archive.open(by_name[name]) as stream:
            arrays.append(_read_array(stream, name, max_values - sum(map(np.size, arrays)), pointer))
    return arrays


def _read_array(stream: IO[bytes], name: str, max_values: int, pointer: str) -> FloatArray:
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise RequestError(f"{name}: expected npy format 1.0 or 2.0, got {version[0]}.{version[1]}", pointer)
    shape, fortran_order, dtype = _HEADERS[version](stream)
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise RequestError(f"{name}: expected float16, float32 or float64, got {dtype}", pointer)
    count = 1
    for side in shape:
        count *= side
        if side < 0 or count > max_values:
            raise RequestTooLargeError(f"{name}: expected at most {max_values} values more, got shape {shape}", pointer)
    content = stream.read(count * dtype.itemsize + 1)
    if len(content) != count * dtype.itemsize:
        raise RequestError(f"{name}: expected {count * dtype.itemsize} bytes for shape {shape}, got others", pointer)
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")
    return cast("FloatArray", np.array(array, dtype.newbyteorder("="), order="C"))

"""npz files of a request: exact numbers, nothing unpickled, nothing unpacked beyond what was expected."""

from __future__ import annotations

import io
import warnings
import zipfile

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from yoloscope.app.requests.npz import read_npz
from yoloscope.models.errors import MalformedRequestError, RequestError, RequestTooLargeError

NUMBERS = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def zipped(content: bytes, name: str = "a.npy", method: int = zipfile.ZIP_DEFLATED, copies: int = 1) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(copies):
            archive.writestr(name, content)
    return stream.getvalue()


def npy(array: np.ndarray, **options: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def header(text: str) -> bytes:
    padded = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
def test_numbers_arrive_as_they_were(dtype: str) -> None:
    sent = NUMBERS.astype(dtype)
    (back,) = read_npz(npz(a=sent), ["a"], 100, "/heads")
    assert back.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(back, sent)


def test_arrays_come_in_the_order_asked_for_and_fortran_order_is_undone() -> None:
    first, second = read_npz(npz(b=np.asfortranarray(NUMBERS), a=NUMBERS + 1), ["a", "b"], 48, "/heads")
    np.testing.assert_array_equal(first, NUMBERS + 1)
    np.testing.assert_array_equal(second, NUMBERS)
    assert second.flags.c_contiguous


OBJECTS = npy(np.array([print, {}], dtype=object), allow_pickle=True)
HUGE = header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }")


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", MalformedRequestError, "as numpy.savez writes it"),
        (b"PK" * 40, MalformedRequestError, "as numpy.savez writes it"),
        (npz(a=NUMBERS)[:-1], MalformedRequestError, "as numpy.savez writes it"),
        (npz(b=NUMBERS), RequestError, "expected the arrays a, got b"),
        (npz(a=NUMBERS, b=NUMBERS), RequestError, "expected the arrays a, got a, b"),
        (zipped(npy(NUMBERS), copies=2), RequestError, "expected the arrays a, got a, a"),
        (npz(a=np.arange(3)), RequestError, "a: expected float16, float32 or float64, got int64"),
        (npz(a=np.zeros(3, np.complex64)), RequestError, "got complex64"),
        (zipped(OBJECTS), RequestError, "got object"),
        (zipped(HUGE), RequestTooLargeError, "a: expected at most 100 values more, got shape (1000000, 1000000)"),
        (npz(a=np.zeros(101, np.float32)), RequestTooLargeError, "expected at most 100 values more"),
        (zipped(npy(NUMBERS)[:-4]), RequestError, "expected 96 bytes for shape (2, 3, 4), got others"),
        (zipped(npy(NUMBERS) + b"1234"), RequestError, "expected 96 bytes"),
        (zipped(b"no npy"), MalformedRequestError, "expected an npz file, got one that fails"),
        (zipped(npy(NUMBERS), method=zipfile.ZIP_LZMA), RequestError, "stored or deflated, got another compression"),
        (zipped(header("{'descr': '<f4', 'shape': (-1,), 'fortran_order': False}")), RequestTooLargeError, "(-1,)"),
        (zipped(header("__import__('os').getcwd()")), MalformedRequestError, "one that fails"),
        (zipped(b"", name="x" * 60_000, copies=2), RequestTooLargeError, "list of entries of at most 65536 bytes"),
    ],
)
def test_others_are_refused(data: bytes, error: type[RequestError], words: str) -> None:
    with pytest.raises(error) as caught:
        read_npz(data, ["a"], 100, "/heads")
    assert type(caught.value) is error
    assert words in str(caught.value)


def test_zeros_that_unpack_to_a_thousand_times_are_not_unpacked() -> None:
    bomb = zipped(header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }") + bytes(50_000_000))
    with pytest.raises(RequestError, match="expected 8 bytes for shape"):
        read_npz(bomb, ["a"], 100, "/heads")


@hypothesis.settings(max_examples=400, deadline=None, derandomize=True)
@hypothesis.given(
    place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.integers(0, 40), compressed=st.booleans()
)
def test_a_damaged_file_is_an_error_of_the_request_or_still_an_array(
    *, place: float, byte: int, cut: int, compressed: bool
) -> None:
    valid = zipped(npy(NUMBERS), method=zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED)
    damaged = bytearray(valid)
    damaged[int(place * len(valid))] = byte
    try:
        (back,) = read_npz(bytes(damaged[cut if cut > 20 else 0 :]), ["a"], 100, "/heads")
    except RequestError:
        return
    assert back.size <= 100

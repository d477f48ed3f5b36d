"""Weights that are a pure function of (seed, position): the formula of the oracles' README, vectorized."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.darknet.weights_header import WeightsHeader

_HEADER = WeightsHeader(0, 2, 5, 32013312)
_STEP = 0x9E3779B97F4A7C15
_CHUNK = 1 << 14
_MULTIPLES = np.arange(_CHUNK, dtype=np.uint64) * np.uint64(_STEP)
Range = tuple[int, float, float]


def pseudo_weights(summary: Mapping[str, Any]) -> bytearray:
    """Return the .weights file that a summary.json describes; its sha256 is checked against it."""
    ranges = [run for layer in summary["layers"] for run in _ranges(layer, summary["gain"])]
    header = _HEADER.pack()
    data = bytearray(len(header) + 4 * sum(count for count, _, _ in ranges))
    data[: len(header)] = header
    values = np.frombuffer(data, "<f4", offset=len(header))
    start = 0
    for count, low, high in ranges:
        _fill(values[start : start + count], summary["seed"], start, low, high)
        start += count
    assert len(data) == summary["weights_bytes"]
    assert hashlib.sha256(data).hexdigest() == summary["weights_sha256"]
    return data


def _fill(out: NDArray[np.float32], seed: int, position: int, low: float, high: float) -> None:
    for start in range(0, len(out), _CHUNK):
        part = out[start : start + _CHUNK]
        uniform = _uniform(seed, position + start, len(part))
        uniform *= high - low
        uniform += low
        part[:] = uniform


def _uniform(seed: int, position: int, count: int) -> NDArray[np.float64]:
    """Return splitmix64 outputs number ``position``.. as fractions of 24 bits."""
    z = _MULTIPLES[:count] + np.uint64((seed + (position + 1) * _STEP) % 2**64)
    shifted = np.empty_like(z)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        np.right_shift(z, np.uint64(shift), out=shifted)
        z ^= shifted
        z *= np.uint64(factor)
    z >>= np.uint64(40)
    return z.astype(np.float64) * 2.0**-24


def _ranges(layer: list[Any], gain: float) -> Iterator[Range]:
    """Yield (count, low, high) of every block of a layer, in file order."""
    kind, count, *rest = layer
    if kind == "conv":
        yield from _normalized(count, *_norm(count) if rest[1] else (), _weights(rest[0], rest[0] // count, gain))
    elif kind == "connected":
        yield from _normalized(rest[0], _weights(count * rest[0], count, gain), *_norm(rest[0]) if rest[1] else ())
    elif kind == "local":
        yield from _normalized(count, _weights(rest[0], rest[1], gain))
    elif kind == "batchnorm":
        yield from _normalized(count, *_norm(count))
    elif kind == "shortcut":
        yield count, -0.5, 1.5
    elif kind == "implicit":
        yield count, -1.0, 1.0
    else:
        raise AssertionError(f"unknown weight block {layer}")


def _normalized(count: int, *blocks: Range) -> Iterator[Range]:
    yield count, -0.2, 0.2
    yield from blocks


def _norm(count: int) -> tuple[Range, Range, Range]:
    return (count, 0.6, 1.4), (count, -0.2, 0.2), (count, 0.5, 1.5)


def _weights(count: int, fan_in: int, gain: float) -> Range:
    bound = gain * math.sqrt(3) * math.sqrt(2 / fan_in)
    return count, -bound, bound

"""The header of a .weights file (darknet src/parser.c ``load_weights_upto``)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

from models.errors import WeightsError

_VERSION = struct.Struct("<3i")
_SEEN_32, _SEEN_64 = struct.Struct("<I"), struct.Struct("<Q")
_TRANSPOSED_FROM = 1000


@dataclass(frozen=True)
class WeightsHeader:
    """Version of the format and the number of pictures seen in training.

    From version 0.2 on the count has 64 bits (a header of 20 bytes), before that 32 (16 bytes).
    """

    major: int = 0
    minor: int = 2
    revision: int = 5
    seen: int = 0

    @property
    def transposed(self) -> bool:
        """Whether the matrices of connected layers are stored as [in, out]."""
        return self.major > _TRANSPOSED_FROM or self.minor > _TRANSPOSED_FROM

    @property
    def num_bytes(self) -> int:
        """Length of the header."""
        return _VERSION.size + self._seen.size

    @property
    def _seen(self) -> struct.Struct:
        return _SEEN_64 if self.major * 10 + self.minor >= 2 and not self.transposed else _SEEN_32

    def pack(self) -> bytes:
        """Return the header's bytes."""
        return _VERSION.pack(self.major, self.minor, self.revision) + self._seen.pack(self.seen)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read the header from the start of a file; raise WeightsError where it is too short or not one."""
        if len(data) < _VERSION.size:
            raise WeightsError(f"expected a header of 16 or 20 bytes, got a file of {len(data)} bytes")
        version = cls(*_VERSION.unpack_from(data))
        if min(version.major, version.minor, version.revision) < 0:
            raise WeightsError(
                "expected a darknet .weights file, got one whose version reads "
                f"{version.major}.{version.minor}.{version.revision}"
            )
        if len(data) < version.num_bytes:
            raise WeightsError(f"expected a header of {version.num_bytes} bytes, got a file of {len(data)} bytes")
        (seen,) = version._seen.unpack_from(data, _VERSION.size)
        return cls(version.major, version.minor, version.revision, seen)

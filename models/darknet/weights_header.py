"""Header of a .weights file (darknet src/parser.c ``load_weights_upto``), and the likely cause of a wrong length."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal, Self

from torch import nn

from yoloscope.models.errors import WeightsError
from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.spec import DetectorSpec

_VERSION = struct.Struct("<3i")
_SEEN_32, _SEEN_64 = struct.Struct("<I"), struct.Struct("<Q")
_TRANSPOSED_FROM = 1000
_NEWEST = 100_000
_USUAL_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class WeightsHeader:
    """Version of the format and the number of images seen in training.

    From version 0.2 on the count has 64 bits (a header of 20 bytes), before that 32 (16 bytes). ``count_bits`` is given
    where a file of a third party has the other one.
    """

    major: int = 0
    minor: int = 2
    revision: int = 5
    seen: int = 0
    count_bits: Literal[32, 64] | None = None

    @property
    def transposed(self) -> bool:
        """Storage order of the matrices of connected layers: [in, out] if true."""
        return self.major > _TRANSPOSED_FROM or self.minor > _TRANSPOSED_FROM

    @property
    def num_bytes(self) -> int:
        """Length of the header."""
        return _VERSION.size + self._seen.size

    @property
    def usual_count_bits(self) -> Literal[32, 64]:
        """Length of the count by the version, as darknet reads and writes it."""
        return 64 if self.major * 10 + self.minor >= 2 and not self.transposed else 32

    @property
    def notices(self) -> tuple[str, ...]:
        """A note where the header is not as darknet would write it, which would read such a file wrongly."""
        if self.count_bits in {None, self.usual_count_bits}:
            return ()
        version = f"version {self.major}.{self.minor} and a count of images of {self.count_bits} bits"
        return (f"the weights file has {version}, where darknet has {self.usual_count_bits}: read by its length",)

    @property
    def _seen(self) -> struct.Struct:
        return _SEEN_64 if (self.count_bits or self.usual_count_bits) == 64 else _SEEN_32

    def pack(self) -> bytes:
        """Return the header's bytes."""
        return _VERSION.pack(self.major, self.minor, self.revision) + self._seen.pack(self.seen)

    @classmethod
    def unpack(cls, data: bytes, count_bits: Literal[32, 64] | None = None) -> Self:
        """Read the header from the start of a file; raise WeightsError where it is too short or not one."""
        if len(data) < _VERSION.size:
            raise WeightsError(f"expected a header of 16 or 20 bytes, got a file of {len(data)} bytes")
        major, minor, revision = _VERSION.unpack_from(data)
        version = cls(major, minor, revision, count_bits=count_bits)
        if min(version.major, version.minor, version.revision) < 0 or max(version.major, version.minor) > _NEWEST:
            raise WeightsError(
                "expected a darknet .weights file, got one whose version reads "
                f"{version.major}.{version.minor}.{version.revision}"
            )
        if len(data) < version.num_bytes:
            raise WeightsError(f"expected a header of {version.num_bytes} bytes, got a file of {len(data)} bytes")
        (seen,) = version._seen.unpack_from(data, _VERSION.size)
        return cls(version.major, version.minor, version.revision, seen, count_bits)


def explain_mismatch(network: nn.Module, header: WeightsHeader, expected: int, got: int) -> str:
    """Return a message with both counts, in parameters and bytes, and the likely cause."""
    spec = getattr(network, "spec", None)
    found = _fitting_cfgs(network, spec, got - expected) if isinstance(spec, DetectorSpec) else []
    if found:
        causes = f"the weights were trained {', or '.join(found)}"
    else:
        causes = (
            "the file is cut off, holds a backbone alone, or belongs to another cfg"
            if got < expected
            else "the weights belong to another cfg"
        )
    return (
        f"expected {expected} parameters ({header.num_bytes + 4 * expected} bytes) for this network, "
        f"got {got} ({header.num_bytes + 4 * got} bytes): {causes}"
    )


def _fitting_cfgs(network: nn.Module, spec: DetectorSpec, excess: int) -> list[str]:
    """Return by which classes or channels of the cfg the network would have so many parameters more."""
    found = []
    classes = count_classes(network, spec, excess)
    if classes is not None:
        found.append(f"for {classes} classes and the cfg has {spec.num_classes}")
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    per_channel = 0 if first is None else first.weight[:, 0].numel()
    if per_channel and excess % per_channel == 0:
        channels = spec.input_channels + excess // per_channel
        if channels in _USUAL_CHANNELS:
            found.append(f"with channels={channels} and the cfg has {spec.input_channels}")
    return found


def count_classes(network: nn.Module, spec: DetectorSpec, excess: int) -> int | None:
    """Return the class count that explains so many parameters more than the network has, or None."""
    per_class = _parameters_per_class(network, spec)
    if not per_class or excess % per_class:
        return None
    classes = spec.num_classes + excess // per_class
    return classes if classes >= 1 else None


def _parameters_per_class(network: nn.Module, spec: DetectorSpec) -> int:
    """Return the parameters that one more class adds to the convolutions before the heads."""
    anchors_of = {head.num_channels(spec.num_classes): head.num_anchors for head in spec.heads}
    return sum(
        anchors_of[module.conv.out_channels] * (module.conv.weight[0].numel() + 1)
        for module in network.modules()
        if isinstance(module, ConvBlock) and module.norm is None and module.conv.out_channels in anchors_of
    )

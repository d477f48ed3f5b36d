"""Reading and writing .weights files: a header, then float32 little endian, layer after layer.

The header of a .weights file (darknet src/parser.c ``load_weights_upto``).

Why a .weights file may not fit a network.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yoloscope.models.errors import WeightsError
from yoloscope.models.files import sha256
from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.layers.weight_block import WeightBlock, weight_blocks, weighted_layers
from yoloscope.models.spec import DetectorSpec, SourceSpec

_VERSION = struct.Struct("<3i")
_SEEN_32, _SEEN_64 = struct.Struct("<I"), struct.Struct("<Q")
_TRANSPOSED_FROM = 1000


@dataclass(frozen=True)
class WeightsHeader:
    """Version of the format and the number of images seen in training.

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


def explain_mismatch(network: nn.Module, header: WeightsHeader, expected: int, got: int) -> str:
    """Return a message with both counts, in parameters and bytes, and the likely cause."""
    spec = getattr(network, "spec", None)
    causes = _class_count(network, spec, got - expected) if isinstance(spec, DetectorSpec) else None
    if causes is None:
        causes = (
            "the file is cut off, holds a backbone alone, or belongs to another cfg"
            if got < expected
            else "the weights belong to another cfg"
        )
    return (
        f"expected {expected} parameters ({header.num_bytes + 4 * expected} bytes) for this network, "
        f"got {got} ({header.num_bytes + 4 * got} bytes): {causes}"
    )


def _class_count(network: nn.Module, spec: DetectorSpec, excess: int) -> str | None:
    """Return the class count that would explain the difference, if one does."""
    per_class = _parameters_per_class(network, spec)
    if not per_class or excess % per_class:
        return None
    classes = spec.num_classes + excess // per_class
    if classes < 1:
        return None
    return f"the weights were trained for {classes} classes and the cfg has {spec.num_classes}"


def _parameters_per_class(network: nn.Module, spec: DetectorSpec) -> int:
    """Return the parameters that one more class adds to the convolutions before the heads."""
    anchors_of = {head.num_channels(spec.num_classes): head.num_anchors for head in spec.heads}
    return sum(
        anchors_of[module.conv.out_channels] * (module.conv.weight[0].numel() + 1)
        for module in network.modules()
        if isinstance(module, ConvBlock) and module.norm is None and module.conv.out_channels in anchors_of
    )


_FLOAT = np.dtype("<f4")
_LONGEST_HEADER = 20


def load_weights(network: nn.Module, weights: str | Path | bytes | bytearray) -> WeightsHeader:
    """Fill a network from a .weights file, whose length must fit exactly; return the file's header.

    Raises WeightsError telling the expected and the actual count of parameters and the likely cause.
    """
    header, values = _read(weights)
    blocks = weight_blocks(network)
    expected = sum(block.tensor.numel() for block in blocks)
    if len(values) != expected:
        raise WeightsError(explain_mismatch(network, header, expected, len(values)))
    _fill(blocks, values, header)
    return header


def load_backbone_weights(
    network: nn.Module, weights: str | Path | bytes | bytearray, layers: int | None = None
) -> tuple[WeightsHeader, int]:
    """Fill the first layers of a network, as from darknet53.conv.74; return the header and how many layers were filled.

    ``layers`` counts layers with weights of their own and ignores the rest of the file; without it the file must end
    between two layers.
    """
    header, values = _read(weights)
    taken = filled = 0
    for layer in weighted_layers(network):
        blocks = layer.weight_blocks()
        length = sum(block.tensor.numel() for block in blocks)
        if not blocks or taken == len(values) or filled == layers:
            continue
        if taken + length > len(values):
            raise WeightsError(
                f"expected the file to end between two layers, got {len(values) - taken} of the {length} parameters "
                f"of layer {filled}: the backbone is another one"
            )
        _fill(blocks, values[taken : taken + length], header)
        taken, filled = taken + length, filled + 1
    if layers is not None and filled < layers:
        raise WeightsError(f"expected weights of {layers} layers, got those of {filled}")
    if layers is None and taken < len(values):
        raise WeightsError(f"expected at most {taken} parameters for this network, got {len(values)}")
    return header, filled


def save_weights(network: nn.Module, header: WeightsHeader | None = None) -> bytes:
    """Return the network's weights as a .weights file; what was loaded comes out byte for byte."""
    header = header or WeightsHeader()
    return header.pack() + b"".join(_packed(block, header) for block in weight_blocks(network))


def darknet_source(weights: str | Path, header: WeightsHeader, notices: tuple[str, ...] = ()) -> SourceSpec:
    """Return where weights came from: the file's name, its sha256 and the images seen in training."""
    path = Path(weights)
    return SourceSpec(kind="darknet", file=path.name, sha256=sha256(path), images_seen=header.seen, notices=notices)


def _read(weights: str | Path | bytes | bytearray) -> tuple[WeightsHeader, NDArray[np.float32]]:
    if isinstance(weights, bytes | bytearray):
        header = WeightsHeader.unpack(bytes(weights[:_LONGEST_HEADER]))
        return header, np.frombuffer(weights, _FLOAT, _whole_floats(len(weights), header), header.num_bytes)
    path = Path(weights)
    try:
        with path.open("rb") as file:
            header = WeightsHeader.unpack(file.read(_LONGEST_HEADER))
        count = _whole_floats(path.stat().st_size, header)
        return header, np.fromfile(path, _FLOAT, count, offset=header.num_bytes)
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror}") from error


def _whole_floats(num_bytes: int, header: WeightsHeader) -> int:
    rest = num_bytes - header.num_bytes
    if rest % _FLOAT.itemsize:
        raise WeightsError(
            f"expected a header of {header.num_bytes} bytes and a multiple of 4, got {num_bytes} bytes: "
            "the file is damaged or not a .weights file"
        )
    return rest // _FLOAT.itemsize


def _as_stored(block: WeightBlock, header: WeightsHeader) -> Tensor:
    """Return the block's tensor, seen in the order of the file."""
    tensor = block.tensor.detach()
    return tensor.flatten(1).t() if block.transposed or (block.matrix and header.transposed) else tensor


@torch.no_grad()
def _fill(blocks: tuple[WeightBlock, ...], values: NDArray[np.float32], header: WeightsHeader) -> None:
    start = 0
    for block in blocks:
        view = _as_stored(block, header)
        stop = start + math.prod(view.shape)
        view.copy_(torch.from_numpy(values[start:stop].astype(np.float32)).reshape(view.shape))
        start = stop


def _packed(block: WeightBlock, header: WeightsHeader) -> bytes:
    return _as_stored(block, header).cpu().float().contiguous().numpy().astype(_FLOAT).tobytes()

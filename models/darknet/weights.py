"""Reading and writing of .weights files: a header, then float32 little endian, layer after layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yoloscope.models.darknet.foreign_files import HEAD_BYTES, describe_file
from yoloscope.models.darknet.weights_header import WeightsHeader, count_classes, explain_mismatch
from yoloscope.models.errors import WeightsError
from yoloscope.models.files import sha256
from yoloscope.models.layers.weight_block import WeightBlock, weight_blocks, weighted_layers
from yoloscope.models.spec import DetectorSpec, SourceSpec

_FLOAT = np.dtype("<f4")


def load_weights(network: nn.Module, weights: str | Path | bytes | bytearray) -> WeightsHeader:
    """Fill a network from a .weights file, whose length must fit exactly; return the file's header.

    A header whose count of images is four bytes longer or shorter than its version says, as some third parties write
    it, is known by the length of the file; the header's ``notices`` then say so. Raises WeightsError with the expected
    and the actual count of parameters and the likely cause, or saying what other kind of file it is, or where its first
    weight is that is not finite.
    """
    header, values = _read(weights)
    blocks = weight_blocks(network)
    expected = sum(block.tensor.numel() for block in blocks)
    if header.usual_count_bits == 64 and len(values) == expected - 1:
        header, values = _read(weights, 32)
    elif header.usual_count_bits == 32 and len(values) == expected + 1:
        header, values = _read(weights, 64)
    if len(values) != expected:
        raise WeightsError(explain_mismatch(network, header, expected, len(values)))
    _require_finite(network, values)
    _fill(blocks, values, header)
    return header


def classes_of_weights(network: nn.Module, spec: DetectorSpec, weights: str | Path | bytes | bytearray) -> int | None:
    """Return for how many classes this network must be built to have as many parameters as a file, or None."""
    _, values = _read(weights)
    excess = len(values) - sum(block.tensor.numel() for block in weight_blocks(network))
    return spec.num_classes if abs(excess) <= 1 else count_classes(network, spec, excess)


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
    _require_finite(network, values[:taken])
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


def _read(
    weights: str | Path | bytes | bytearray, count_bits: Literal[32, 64] | None = None
) -> tuple[WeightsHeader, NDArray[np.float32]]:
    if isinstance(weights, bytes | bytearray):
        header = _header(bytes(weights[:HEAD_BYTES]), count_bits)
        return header, np.frombuffer(weights, _FLOAT, _whole_floats(len(weights), header), header.num_bytes)
    path = Path(weights)
    try:
        with path.open("rb") as file:
            header = _header(file.read(HEAD_BYTES), count_bits)
        count = _whole_floats(path.stat().st_size, header)
        return header, np.fromfile(path, _FLOAT, count, offset=header.num_bytes)
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror}") from error


def _header(head: bytes, count_bits: Literal[32, 64] | None) -> WeightsHeader:
    kind = describe_file(head)
    if kind is not None:
        raise WeightsError(f"expected a darknet .weights file, got {kind}")
    return WeightsHeader.unpack(head, count_bits)


def _whole_floats(num_bytes: int, header: WeightsHeader) -> int:
    rest = num_bytes - header.num_bytes
    if rest % _FLOAT.itemsize:
        raise WeightsError(
            f"expected a header of {header.num_bytes} bytes and a multiple of 4, got {num_bytes} bytes: "
            "the file is damaged or not a .weights file"
        )
    return rest // _FLOAT.itemsize


def _require_finite(network: nn.Module, values: NDArray[np.float32]) -> None:
    """Raise WeightsError naming the first weight that is NaN or infinite: a training that diverged, or damage."""
    finite = np.isfinite(values)
    if finite.all():
        return
    first = int(np.argmin(finite))
    layer, role = next((place for stop, place in _ends(network) if first < stop), (0, "weights"))
    raise WeightsError(
        f"expected finite weights, got {int((~finite).sum())} of {len(values)} that are NaN or infinite, the first "
        f"among the {role} of layer {layer} with weights (from 0): the training has diverged or the file is damaged"
    )


def _ends(network: nn.Module) -> Iterator[tuple[int, tuple[int, str]]]:
    """Yield where each run of floats ends, with its layer (counted among those with weights) and role."""
    stop = layer = 0
    for module in weighted_layers(network):
        blocks = module.weight_blocks()
        for block in blocks:
            stop += block.tensor.numel()
            yield stop, (layer, block.role)
        layer += bool(blocks)


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

"""The torch module of a darknet cfg."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from yoloscope.models.darknet.layer_plan import BuiltLayer
from yoloscope.models.errors import CfgError
from yoloscope.models.spec import DetectorSpec


@dataclass(frozen=True)
class Wiring:
    """Inputs of a layer (-1 is the image), the outputs that end with it, and whether it is a head."""

    name: str
    sources: tuple[int, ...]
    released: tuple[int, ...]
    is_head: bool


class DarknetNetwork(nn.Module):
    """A network built from a cfg: images float [B, C, H, W] in 0..1 -> the raw heads in file order.

    ``notices`` say what of the cfg has no effect or needs to be known; ``missing`` what keeps it from being decoded.
    """

    def __init__(
        self,
        names: Sequence[str],
        layers: Sequence[BuiltLayer],
        spec: DetectorSpec,
        notices: tuple[str, ...],
        missing: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer.module for layer in layers)
        self.wiring = _wire(names, layers)
        self.spec = spec
        self.notices, self.missing = notices, missing

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the raw heads."""
        return tuple(output for _, wire, output in self._run(images) if wire.is_head)

    def layer_outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return what every layer yields, to find where two networks part; heads yield what enters them."""
        return tuple(output for _, _, output in self._run(images))

    def _run(self, images: Tensor) -> Iterator[tuple[int, Wiring, Tensor]]:
        outputs = {-1: images}
        for index, (layer, wire) in enumerate(zip(self.layers, self.wiring, strict=True)):
            outputs[index] = layer(*(outputs[source] for source in wire.sources or (index - 1,)))
            yield index, wire, outputs[index]
            for source in wire.released:
                del outputs[source]


def require_complete(network: DarknetNetwork) -> None:
    """Raise CfgError where the cfg leaves something open that decoding needs, naming each."""
    if network.missing:
        raise CfgError("; ".join(network.missing))


def _wire(names: Sequence[str], layers: Sequence[BuiltLayer]) -> tuple[Wiring, ...]:
    reads = [set(layer.sources) or {index - 1} for index, layer in enumerate(layers)]
    last_reader = {source: index for index, sources in enumerate(reads) for source in sources}
    released: list[list[int]] = [[] for _ in layers]
    for source in range(-1, len(layers)):
        released[max(last_reader.get(source, source), 0)].append(source)
    return tuple(
        Wiring(name, layer.sources, tuple(ended), layer.head is not None)
        for name, layer, ended in zip(names, layers, released, strict=True)
    )

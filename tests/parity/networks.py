"""Head tensors of a network beside those that darknet computed for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.parity.pseudo_weights import pseudo_weights
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.network import DarknetNetwork
from yoloscope.models.darknet.weights import load_weights
from yoloscope.models.layers.activations import ACTIVATIONS
from yoloscope.models.network import Network

Array = NDArray[np.float32]
Heads = Callable[[Array], Sequence[Array]]

RELATIVE_TOLERANCE = 1e-4
ABSOLUTE_TOLERANCE = 2e-4


@dataclass(frozen=True)
class HeadParity:
    """The worst deviation of one head, beside the largest magnitude and what is allowed."""

    head: str
    worst: float
    magnitude: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the deviation is within the tolerance; a NaN is not."""
        return self.worst <= self.tolerance


def pseudo_folders(oracles: Path) -> list[Path]:
    """Return the folders of networks with formula-made weights."""
    return [path.parent for group in ("darknet_pseudo", "darknet_cfgs") for path in _summaries(oracles / group)]


def real_models(oracles: Path) -> list[Path]:
    """Return the real .weights files that darknet's outputs exist for."""
    found = sorted(oracles.glob("weights/*/*.weights"))
    return [path for path in found if (oracles / "darknet_out" / path.stem / "dog_tensors.npz").is_file()]


def _summaries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/summary.json"))


def load_pseudo_network(folder: Path) -> DarknetNetwork:
    """Build the network of one folder and fill it with the weights of the formula."""
    network = build_darknet(folder / f"{folder.name}.cfg")
    load_weights(network, pseudo_weights(read_summary(folder)))
    return network


def load_real_network(weights: Path) -> DarknetNetwork:
    """Build the network beside a .weights file and load it."""
    network = build_darknet(weights.with_suffix(".cfg"))
    load_weights(network, weights)
    return network


def torch_heads(network: torch.nn.Module) -> Heads:
    """Return a function from an image [3, H, W] to the heads of a torch network, without the batch dimension."""

    def run(image: Array) -> list[Array]:
        with torch.inference_mode():
            return [head[0].numpy() for head in network(torch.from_numpy(image)[None])]

    return run


def compare_pseudo(folder: Path, network: DarknetNetwork | Network, heads: Heads | None = None) -> list[HeadParity]:
    """Compare the heads of one folder of darknet_pseudo or darknet_cfgs; ``heads`` may come from another runtime."""
    summary = read_summary(folder)
    with np.load(folder / "tensors.npz") as tensors:
        stored = {name: tensors[name] for name in tensors.files}
    activations = [head.get("conv_activation", "linear") for head in summary["heads"]]
    outputs = (heads or torch_heads(network))(_image(folder, summary, stored))
    names = [f"head{head['i']}" for head in summary["heads"]]
    expected = [
        _entering(stored[f"{name}_pre"], activation, stripped=spec.new_coords and spec.activation == "sigmoid")
        for name, activation, spec in zip(names, activations, network.spec.heads, strict=True)
    ]
    indices = [stored.get(f"{name}_idx") for name in names]
    return list(_compared(names, outputs, expected, indices, RELATIVE_TOLERANCE, relative=True))


def compare_real(oracles: Path, weights: Path, heads: Heads) -> list[HeadParity]:
    """Compare the heads of one real model on darknet's own input tensor."""
    with np.load(oracles / "darknet_out" / weights.stem / "dog_tensors.npz") as tensors:
        stored = {name: tensors[name] for name in tensors.files}
    names = sorted((name[:-4] for name in stored if name.endswith("_pre")), key=lambda name: int(name[4:]))
    expected = [stored[f"{name}_pre"] for name in names]
    return list(
        _compared(names, heads(stored["input"]), expected, [None] * len(names), ABSOLUTE_TOLERANCE, relative=False)
    )


def read_summary(folder: Path) -> dict[str, Any]:
    """Read what darknet said of one network."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def _image(folder: Path, summary: dict[str, Any], stored: dict[str, NDArray[Any]]) -> Array:
    if "input" in stored:
        return stored["input"]
    _, height, width = summary["net"]
    place = summary.get("input", f"inputs/{width}x{height}.npy")
    path, _, member = place.partition(":")
    found: Array = np.load(folder.parent / path)[member] if member else np.load(folder.parent / path)
    return found


def _entering(pre: Array, activation: str, *, stripped: bool) -> Array:
    """Return what enters the head: the stored values are those before the last layer's activation."""
    if activation == "linear" or stripped:
        return pre
    return ACTIVATIONS[activation](torch.from_numpy(pre)).numpy()


def _compared(
    names: Sequence[str],
    outputs: Sequence[Array],
    expected: Sequence[Array],
    indices: Sequence[NDArray[np.uint32] | None],
    tolerance: float,
    *,
    relative: bool,
) -> Iterator[HeadParity]:
    for name, output, wanted, index in zip(names, outputs, expected, indices, strict=True):
        got = output.reshape(-1) if index is None else output.reshape(-1)[index]
        if got.size != wanted.size:
            raise AssertionError(f"{name}: expected {wanted.size} values, got {got.size}")
        magnitude = float(np.abs(wanted).max())
        worst = float(np.abs(got - wanted.reshape(-1)).max())
        yield HeadParity(name, worst, magnitude, tolerance * magnitude if relative else tolerance)

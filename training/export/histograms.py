"""The values that every tensor of a network takes on calibration pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from training.export.onnx import NETWORK_INPUT
from training.export.session import open_session

Array = NDArray[np.float32]
Progress = Callable[[int], None]
BINS: Final = 4096


@dataclass(frozen=True)
class Histogram:
    """How often values fell into equal bins between ``low`` and ``high``."""

    low: float
    high: float
    counts: NDArray[np.int64]

    @property
    def edges(self) -> NDArray[np.float64]:
        """The borders of the bins [bins + 1]."""
        return np.linspace(self.low, self.high, len(self.counts) + 1)

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middles of the bins [bins]."""
        return (self.edges[1:] + self.edges[:-1]) / 2


def collect_histograms(
    network: onnx.ModelProto, pictures: Sequence[Array], progress: Progress | None = None
) -> dict[str, Histogram]:
    """Return a histogram for every float tensor of ``network`` over pictures [1, 3, H, W] in 0..1.

    Two passes, the first for the extremes, one picture in memory at a time; ``progress`` is told of each run.
    """
    session = open_session(_with_all_outputs(network))
    names = [output.name for output in session.get_outputs() if output.type == "tensor(float)"]

    def values(picture: Array) -> dict[str, Array]:
        found = dict(zip(names, session.run(names, {NETWORK_INPUT: picture}), strict=True))
        if progress is not None:
            progress(1)
        return found | {NETWORK_INPUT: picture}

    extremes: dict[str, tuple[float, float]] = {}
    for picture in pictures:
        for name, array in values(picture).items():
            low, high = extremes.get(name, (np.inf, -np.inf))
            extremes[name] = min(low, float(array.min())), max(high, float(array.max()))
    counts = {name: np.zeros(BINS, np.int64) for name in extremes}
    for picture in pictures:
        for name, array in values(picture).items():
            counts[name] += _count(array, *extremes[name])
    return {name: Histogram(*extremes[name], counts[name]) for name in extremes}


def _count(array: Array, low: float, high: float) -> NDArray[np.int64]:
    width = (high - low) / BINS
    if not width > 0:
        return np.bincount([0], weights=None, minlength=BINS) * array.size
    places = ((array.ravel() - np.float32(low)) * np.float32(1 / width)).astype(np.int32)
    return np.bincount(places.clip(0, BINS - 1), minlength=BINS)


def _with_all_outputs(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with every value that a node computes among its outputs."""
    augmented = onnx.ModelProto()
    augmented.CopyFrom(network)
    known = {output.name for output in network.graph.output}
    for node in network.graph.node:
        for name in node.output:
            if name and name not in known:
                augmented.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return augmented

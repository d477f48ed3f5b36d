"""Ranges of activations for 8 bits: calibration images, histograms, choice by method, shared by concatenations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from yoloscope.models.detector import scale_pixels
from yoloscope.models.errors import DatasetError
from yoloscope.models.images import read_image
from yoloscope.models.preprocess import preprocess
from yoloscope.models.session import open_session
from yoloscope.models.spec import RGB_CHANNELS, DetectorSpec
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.data.datasets.paths import find_images
from yoloscope.training.export.onnx import NETWORK_INPUT

Array = NDArray[np.float32]
ProgressCallback = Callable[[int], None]
Item = TypeVar("Item")
BINS: Final = 4096


@dataclass(frozen=True)
class Histogram:
    """Counts of values in equal bins between ``low`` and ``high``."""

    low: float
    high: float
    counts: NDArray[np.int64]

    @property
    def edges(self) -> NDArray[np.float64]:
        """The borders of the bins [bins + 1]."""
        return np.linspace(self.low, self.high, len(self.counts) + 1)

    @property
    def centers(self) -> NDArray[np.float64]:
        """The middles of the bins [bins]."""
        return (self.edges[1:] + self.edges[:-1]) / 2


def collect_histograms(
    network: onnx.ModelProto, images: Sequence[Array], progress: ProgressCallback | None = None
) -> dict[str, Histogram]:
    """Return a histogram for every float tensor of ``network`` over images [1, 3, H, W] in 0..1.

    Two passes, the first for the extremes, one image in memory at a time; ``progress`` is called after each run.
    """
    session = open_session(_with_all_outputs(network).SerializeToString())
    names = [output.name for output in session.get_outputs() if output.type == "tensor(float)"]

    def values(image: Array) -> dict[str, Array]:
        found = dict(zip(names, session.run(names, {NETWORK_INPUT: image}), strict=True))
        if progress is not None:
            progress(1)
        return found | {NETWORK_INPUT: image}

    extremes: dict[str, tuple[float, float]] = {}
    for image in images:
        for name, array in values(image).items():
            low, high = extremes.get(name, (np.inf, -np.inf))
            extremes[name] = min(low, float(array.min())), max(high, float(array.max()))
    counts = {name: np.zeros(BINS, np.int64) for name in extremes}
    for image in images:
        for name, array in values(image).items():
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


PASSING: Final = frozenset(("MaxPool", "Resize", "Slice", "Split", "Reshape", "Transpose"))
"""Operators whose result onnxruntime quantizes as their first input."""


def share_ranges(network: onnx.ModelProto, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Return ranges with which the parts and the whole of every concatenation have one: the widest of theirs.

    Then concatenating 8-bit values copies them. Parts of other ranges go through a table, value by value, which takes a
    tenth of the time of yolov4-tiny on two threads. What is only passed on has no say, since its range is not used.
    """
    groups: dict[str, frozenset[str]] = {}
    wholes: set[str] = set()
    passed: set[str] = set()
    for node in network.graph.node:
        if node.op_type == "Concat":
            wholes.update(node.output)
            _unite(groups, (*node.input, *node.output))
        elif node.op_type in PASSING:
            passed.update(node.output)
            _unite(groups, (node.input[0], *node.output))
    shared = dict(ranges)
    for group in set(groups.values()):
        known = [ranges[name] for name in group - passed if name in ranges]
        if known and group & wholes:
            widest = min(low for low, _ in known), max(high for _, high in known)
            shared |= {name: widest for name in group if name in ranges}
    return shared


def _unite(groups: dict[str, frozenset[str]], names: tuple[str, ...]) -> None:
    """Make one group of those of all the names."""
    united = frozenset(names).union(*(groups.get(name, ()) for name in names))
    groups.update(dict.fromkeys(united, united))


RangeMethod: TypeAlias = Literal["least_squares", "least_power", "percentile", "extremes"]
METHODS: Final[tuple[RangeMethod, ...]] = ("least_squares", "least_power", "percentile", "extremes")
Range: TypeAlias = tuple[float, float]

LEVELS: Final = 255
_POWER: Final = 2.5
_TAIL: Final = 0.5e-4
_SHARES: Final = np.linspace(1.0, 0.2, 41)
_ROUNDS: Final = 3


def choose_ranges(histograms: dict[str, Histogram], method: RangeMethod) -> dict[str, Range]:
    """Return for each tensor the range (low <= 0 <= high) that is quantized; values beyond it are clipped.

    ``extremes`` clips nothing, ``percentile`` half of 1e-4 of the values at each end, ``least_squares`` what makes the
    mean square error of rounding and clipping smallest, ``least_power`` the same of ``|error| ** 2.5``, which clips
    less: confident detections stand at the end of the range.
    """
    choices: dict[RangeMethod, Callable[[Histogram], Range]] = {
        "least_squares": partial(_least_error, exponent=2.0),
        "least_power": partial(_least_error, exponent=_POWER),
        "percentile": _percentile,
        "extremes": _extremes,
    }
    return {name: choices[method](histogram) for name, histogram in histograms.items()}


def relative_error(histogram: Histogram, low: float, high: float) -> float:
    """Return the mean square error of 8-bit quantization from low <= 0 to high >= 0, over that of the values."""
    magnitude = float(np.average(histogram.centers**2, weights=histogram.counts))
    error = float(_errors(histogram, np.array([low]), np.array([high]), 2.0)[0])
    return error / magnitude if magnitude else 0.0


def _extremes(histogram: Histogram) -> Range:
    return min(histogram.low, 0.0), max(histogram.high, 0.0)


def _percentile(histogram: Histogram) -> Range:
    shares = np.cumsum(histogram.counts) / max(int(histogram.counts.sum()), 1)
    first = int(np.searchsorted(shares, _TAIL))
    last = int(np.searchsorted(shares, 1 - _TAIL))
    edges = histogram.edges
    return min(float(edges[first]), 0.0), max(float(edges[min(last + 1, len(edges) - 1)]), 0.0)


def _least_error(histogram: Histogram, *, exponent: float) -> Range:
    """Search both ends in turn over fractions of the extremes."""
    low, high = _extremes(histogram)
    lows, highs = low * _SHARES, high * _SHARES
    if not high > low:
        return low, high
    for _ in range(_ROUNDS):
        high = float(highs[_errors(histogram, np.full_like(highs, low), highs, exponent).argmin()])
        low = float(lows[_errors(histogram, lows, np.full_like(lows, high), exponent).argmin()])
    return low, high


def _errors(
    histogram: Histogram, lows: NDArray[np.float64], highs: NDArray[np.float64], exponent: float
) -> NDArray[np.float64]:
    """Return the mean of ``|error| ** exponent`` [K] of K ranges; infinite for an empty one."""
    used = histogram.counts > 0
    values, weights = histogram.centers[used], histogram.counts[used] / histogram.counts.sum()
    width = highs - lows
    scale = np.where(width > 0, width, 1.0)[:, None] / LEVELS
    zero = np.rint(-lows[:, None] / scale)
    rounded = (np.clip(np.rint(values / scale) + zero, 0, LEVELS) - zero) * scale
    return np.where(width > 0, np.abs(rounded - values) ** exponent @ weights, np.inf)


LEAST_IMAGES: Final = 4


@dataclass(frozen=True)
class CalibrationImages:
    """Images spread evenly over those of a data set or folder, whose name is ``name``."""

    name: str
    paths: tuple[Path, ...]

    def levels(self, spec: DetectorSpec) -> list[NDArray[np.float32]]:
        """Return the images as they are placed for detection, in levels 0..255, each float32 [H, W, 3]."""
        return [preprocess(read_image(path), spec)[0] for path in self.paths]


def find_calibration(data: Path, split: str | None, count: int) -> CalibrationImages:
    """Return at most ``count`` images of a labeled data set, or of a folder without labels.

    Raises DatasetError where there are fewer than four, or where a part is asked of a folder that has none.
    """
    paths = _all_images(data, split)
    if len(paths) < LEAST_IMAGES or count < LEAST_IMAGES:
        raise DatasetError(
            f"expected at least {LEAST_IMAGES} calibration images (some 64 are better), "
            f"got {min(len(paths), count)} of {data}"
        )
    name = data.resolve().name + (f" ({split})" if split else "")
    return CalibrationImages(name, tuple(evenly_spaced(paths, count)))


def evenly_spaced(items: Sequence[Item], count: int) -> list[Item]:
    """Return at most ``count`` items, spread over all, the first and the last among them."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]


def _all_images(data: Path, split: str | None) -> tuple[Path, ...]:
    try:
        return tuple(image.path for image in open_dataset(data, split).images)
    except DatasetError:
        if split is not None or not data.is_dir():
            raise
        return find_images(data)


def network_inputs(levels: Sequence[NDArray[np.float32]], channels: int = RGB_CHANNELS) -> list[NDArray[np.float32]]:
    """Return preprocessed images [H, W, P] in levels 0..255 as what the network sees: [1, channels, H, W] in 0..1."""
    return [scale_pixels(torch.from_numpy(one)[None], channels=channels).contiguous().numpy() for one in levels]

"""Static quantization to 8 bits by onnxruntime; layers that cost accuracy and little time stay in float.

Weights are 8-bit per channel, activations unsigned 8-bit, with ranges from calibration images.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from yoloscope.models.errors import ExportError
from yoloscope.models.session import open_session
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.export.compare import Heads, detection_error, relative_time
from yoloscope.training.export.onnx import NETWORK_INPUT
from yoloscope.training.export.quantization.ranges import (
    METHODS,
    Histogram,
    Range,
    RangeMethod,
    choose_ranges,
    collect_histograms,
    evenly_spaced,
    relative_error,
    share_ranges,
)
from yoloscope.training.export.surgery import WeightedLayer, find_layers

OPERATORS: Final = (
    *("Conv", "Gemm", "MatMul", "LeakyRelu", "Relu", "Add"),
    *("MaxPool", "Concat", "Resize", "Slice", "Split", "Reshape", "Transpose"),
)
"""Operators with 8-bit kernels; other activations are computed in float between quantized convolutions."""

_QUANTIZED: Final = frozenset(("QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger"))
_HALF: Final = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def require_float32(network: onnx.ModelProto) -> None:
    """Raise ExportError if a network is quantized or of half precision already."""
    if any(node.op_type in _QUANTIZED for node in network.graph.node):
        raise ExportError("expected a model in float32, got one that is quantized already")
    if any(tensor.data_type in _HALF for tensor in network.graph.initializer):
        raise ExportError("expected a model in float32, got one in half precision")


def quantize_network(
    network: onnx.ModelProto,
    ranges: Mapping[str, Range],
    *,
    only: Collection[str] = (),
    excluded: Collection[str] = (),
) -> onnx.ModelProto:
    """Return the network of ``take_network`` with quantization around its operators (QDQ).

    ``only`` and ``excluded`` are names of nodes: none other than the former, none of the latter are quantized. Each
    tensor of ``ranges`` is quantized with zero exact, asymmetrically: what the fast kernels of x86 with VNNI take.
    """
    prepared = onnx.ModelProto()
    prepared.CopyFrom(network)
    add_pre_process_metadata(prepared)
    extremes = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    with tempfile.TemporaryDirectory() as folder:
        table, target = Path(folder, "ranges.json"), Path(folder, "network.onnx")
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, extremes), table)
        quantize_static(
            prepared,
            target,
            calibration_cache_path=table,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=list(only),
            nodes_to_exclude=list(excluded),
        )
        return onnx.load(target)


Array = NDArray[np.float32]
ProgressCallback = Callable[[str, float], None]
RANKING_IMAGES: Final = 8
JUDGING_IMAGES: Final = 24
MOST_TRIES: Final = 16
MOST_RANKED: Final = 32
MIN_GAIN: Final = 0.97
"""Share of the error that may remain for a layer to be worth its time in float, or ranges of their own theirs."""


@dataclass(frozen=True)
class Int8Settings:
    """Limits on what stays in float.

    Layers with up to ``float_share`` of the multiplications, as long as the network takes at most ``slowdown`` times
    as long as with nothing in float, and until the detections of the calibration images are within
    ``largest_error`` of the float network's (see ``detection_error``). ``method`` None chooses the ranges by
    measurement.
    """

    float_share: float = 0.1
    slowdown: float = 1.1
    largest_error: float = 0.02
    method: RangeMethod | None = None


@dataclass(frozen=True)
class LayerChoice:
    """A layer, the detection error that quantizing it alone causes, its share of the multiplications, what was done.

    The error is None where it was not measured, because of a small rounding error in a network of many layers.
    """

    name: str
    error: float | None
    share: float
    in_float: bool


@dataclass(frozen=True)
class Int8Network:
    """A quantized network and how it came about.

    ``method_errors`` are the detection errors with every layer quantized, by method of choosing ranges; ``error`` is
    what remains.
    """

    network: onnx.ModelProto
    method: RangeMethod
    method_errors: dict[RangeMethod, float]
    layers: tuple[LayerChoice, ...]
    error: float

    @property
    def float_layers(self) -> tuple[str, ...]:
        """Names of the layers that stay in float."""
        return tuple(layer.name for layer in self.layers if layer.in_float)


def quantize_to_int8(
    network: onnx.ModelProto,
    spec: DetectorSpec,
    images: Sequence[Array],
    settings: Int8Settings,
    progress: ProgressCallback | None = None,
) -> Int8Network:
    """Quantize the network of ``take_network`` with ranges from ``images``, each [1, 3, H, W] in 0..1.

    Ranges are chosen by each method, one for all that is concatenated unless that costs accuracy, and judged by the
    detections of all layers quantized. Then every layer (of a network of many, the 32 whose values suffer most from
    rounding) is quantized alone; those of the greatest error per multiplication stay in float, one after another, where
    that lowers the error and ``settings`` allow it. ``progress`` is called with the stage and its share, 0..1.

    A layer in float amid quantized ones can cost far more than its multiplications: tensors change their layout around
    it and pooling beside it falls back to slow kernels. That is why time is measured.
    """
    return _Search(network, spec, images, settings, progress or (lambda _what, _part: None)).run()


class _Search:
    """Search for ranges and for the layers that stay in float."""

    def __init__(
        self,
        network: onnx.ModelProto,
        spec: DetectorSpec,
        images: Sequence[Array],
        settings: Int8Settings,
        progress: ProgressCallback,
    ) -> None:
        self._network, self._spec, self._images = network, spec, images
        self._settings, self._progress = settings, progress
        self._layers = find_layers(network)
        self._histograms: dict[str, Histogram] = {}
        self._judged = evenly_spaced(images, JUDGING_IMAGES)
        self._ranked = evenly_spaced(self._judged, RANKING_IMAGES)
        self._expected = {len(some): run_heads(network, some) for some in (self._judged, self._ranked)}

    def run(self) -> Int8Network:
        own, method_errors = self._choose_method()
        method = min(method_errors, key=lambda name: method_errors[name])
        chosen, error = self._own_where_better(own[method], method_errors[method])
        errors = self._rank(chosen)
        kept, error = self._keep(chosen, errors, error)
        total = sum(layer.products for layer in self._layers)
        choices = tuple(
            LayerChoice(layer.name, errors.get(layer), layer.products / total, layer in kept) for layer in self._layers
        )
        final = quantize_network(self._network, chosen, excluded=_nodes(kept))
        return Int8Network(final, method, method_errors, choices, error)

    def _choose_method(self) -> tuple[dict[RangeMethod, Mapping[str, Range]], dict[RangeMethod, float]]:
        """Return each method's range of every tensor for itself, and the error where concatenated maps share one."""
        runs = 2 * len(self._images)
        done = iter(range(1, runs + 1))
        self._histograms = collect_histograms(
            self._network, self._images, lambda _: self._progress("calibrating", next(done) / runs)
        )
        methods = METHODS if self._settings.method is None else (self._settings.method,)
        own: dict[RangeMethod, Mapping[str, Range]] = {name: choose_ranges(self._histograms, name) for name in methods}
        errors = {name: self._all_quantized(share_ranges(self._network, own[name])) for name in methods}
        return own, errors

    def _own_where_better(self, own: Mapping[str, Range], error: float) -> tuple[Mapping[str, Range], float]:
        """Return shared ranges, whose ``error`` is given, or each tensor's own where better; and the error."""
        now = self._all_quantized(own)
        return (own, now) if now < MIN_GAIN * error else (share_ranges(self._network, own), error)

    def _all_quantized(self, ranges: Mapping[str, Range]) -> float:
        return self._error(self._judged, quantize_network(self._network, ranges))

    def _rank(self, ranges: Mapping[str, Range]) -> dict[WeightedLayer, float]:
        """Return the error of each layer when nothing else is quantized."""

        def noise(layer: WeightedLayer) -> float:
            return max(relative_error(self._histograms[name], *ranges[name]) for name in layer.values if name in ranges)

        errors = {}
        for number, layer in enumerate(sorted(self._layers, key=noise, reverse=True)[:MOST_RANKED], 1):
            errors[layer] = self._error(self._ranked, quantize_network(self._network, ranges, only=layer.nodes))
            self._progress("quantizing each layer alone", number / min(MOST_RANKED, len(self._layers)))
        return errors

    def _keep(
        self, ranges: Mapping[str, Range], errors: Mapping[WeightedLayer, float], error: float
    ) -> tuple[tuple[WeightedLayer, ...], float]:
        """Return the layers to keep in float and the error that remains; ``error`` is that of keeping none."""
        order = sorted(errors, key=lambda layer: -errors[layer] / max(layer.products, 1))[:MOST_TRIES]
        budget = self._settings.float_share * sum(layer.products for layer in self._layers)
        plain = quantize_network(self._network, ranges)
        kept: tuple[WeightedLayer, ...] = ()
        for number, layer in enumerate(order, 1):
            if error <= self._settings.largest_error:
                break
            self._progress("keeping layers in float", number / len(order))
            tried = (*kept, layer)
            if sum(one.products for one in tried) > budget:
                continue
            changed = quantize_network(self._network, ranges, excluded=_nodes(tried))
            now = self._error(self._judged, changed)
            if now < MIN_GAIN * error and relative_time(changed, plain, self._judged[0]) <= self._settings.slowdown:
                kept, error = tried, now
        return kept, error

    def _error(self, images: Sequence[Array], changed: onnx.ModelProto) -> float:
        return detection_error(self._expected[len(images)], run_heads(changed, images), self._spec)


def run_heads(network: onnx.ModelProto, images: Sequence[Array]) -> list[Heads]:
    """Return the raw heads of every image; raise ExportError where one is not finite."""
    session = open_session(network.SerializeToString())
    heads = [session.run(None, {NETWORK_INPUT: image}) for image in images]
    if not all(np.isfinite(head).all() for one in heads for head in one):
        raise ExportError("expected finite heads of the changed network, got infinite ones or NaN")
    return heads


def _nodes(layers: Collection[WeightedLayer]) -> list[str]:
    return [name for layer in layers for name in layer.nodes]

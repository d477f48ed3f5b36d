"""Static quantisation of a network by onnxruntime: 8-bit weights per channel, unsigned 8-bit activations."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from models.errors import ExportError
from training.export.ranges import Range

OPERATORS: Final = (
    *("Conv", "Gemm", "MatMul", "LeakyRelu", "Relu", "Add"),
    *("MaxPool", "Concat", "Resize", "Slice", "Split", "Reshape", "Transpose"),
)
"""Operators with 8-bit kernels; other activations are computed in float between quantised convolutions."""

_QUANTISED: Final = frozenset(("QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger"))
_HALF: Final = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def require_float32(network: onnx.ModelProto) -> None:
    """Raise ExportError if a network is quantised or of half precision already."""
    if any(node.op_type in _QUANTISED for node in network.graph.node):
        raise ExportError("expected a model in float32, got one that is quantised already")
    if any(tensor.data_type in _HALF for tensor in network.graph.initializer):
        raise ExportError("expected a model in float32, got one in half precision")


def quantize_network(
    network: onnx.ModelProto,
    ranges: Mapping[str, Range],
    *,
    only: Collection[str] = (),
    excluded: Collection[str] = (),
) -> onnx.ModelProto:
    """Return the network of ``take_network`` with quantisation around its operators (QDQ).

    ``only`` and ``excluded`` are names of nodes: none other than the former, none of the latter are quantised. Each
    tensor of ``ranges`` is quantised with zero exact, asymmetrically: what the fast kernels of x86 with VNNI take.
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

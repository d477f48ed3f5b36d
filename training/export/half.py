"""A network in half precision."""

from __future__ import annotations

from typing import Final

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

BLOCKED: Final = sorted({*DEFAULT_OP_BLOCK_LIST} - {"Resize", "Upsample"})
"""Operators that stay in float32; the library would let resizing be one, which both CPU and CUDA do in half."""


def convert_to_half(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network of ``take_network`` with weights and activations in float16, its input and heads in float32.

    Weights beyond 65504 become that; whether activations stay below shows when it runs.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(network)
    converted = OnnxModel(convert_float_to_float16(copied, keep_io_types=True, op_block_list=BLOCKED))
    _drop_repeated(converted.model.graph)
    converted.topological_sort()
    model: onnx.ModelProto = converted.model
    return model


def _drop_repeated(graph: onnx.GraphProto) -> None:
    """Drop nodes that compute a value again: the library casts a constant once for every reader, by one name."""
    computed: set[str] = set()
    for node in list(graph.node):
        if computed.issuperset(node.output):
            graph.node.remove(node)
        computed.update(node.output)

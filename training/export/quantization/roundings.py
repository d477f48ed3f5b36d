"""Fewer roundings for engines that fuse: none between a layer and its activation, none where 8-bit values only move.

onnxruntime runs an operator in 8 bits where QuantizeLinear and DequantizeLinear stand on all sides of it. OpenVINO
computes a convolution, its activation and the rounding behind both in one step, and moves 8-bit values as they are:
there, every other pair is one more pass over the values, and one between a layer and its activation costs accuracy too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final, TypeAlias

import onnx
from onnx import numpy_helper

from yoloscope.training.export.names import set_values
from yoloscope.training.export.quantization.ranges import PASSING
from yoloscope.training.export.surgery import ELEMENTWISE, WEIGHTED

_MOVING: Final = PASSING | {"Concat"}
_Form: TypeAlias = tuple[bytes, ...]
"""Scale and zero point of 8-bit values."""


def without_needless_roundings(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network of ``quantize_network`` without the pairs of QuantizeLinear and DequantizeLinear to be spared.

    Those behind a layer with weights whose readers are all activations, and those behind operators that move values
    which have the pair's scale and zero point already: the latter change nothing.
    """
    result = onnx.ModelProto()
    result.CopyFrom(network)
    graph = result.graph
    constants = {tensor.name: numpy_helper.to_array(tensor).tobytes() for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    outputs = {output.name for output in graph.output}
    forms: dict[str, _Form] = {}
    instead: dict[str, str] = {}
    spared: set[str] = set()
    for node in graph.node:
        set_values(node.input, [instead.get(name, name) for name in node.input])
        if (moved := _moved_form(node, forms)) is not None:
            forms |= dict.fromkeys(node.output, moved)
        if node.op_type != "DequantizeLinear":
            continue
        (output,), form = node.output, tuple(constants.get(name, b"") for name in node.input[1:])
        forms[output] = form
        rounding = makers.get(node.input[0])
        if rounding is None or rounding.op_type != "QuantizeLinear" or rounding.input[1:] != node.input[1:]:
            continue
        value = rounding.input[0]
        maker = makers.get(value)
        if maker is None or output in outputs or len(readers[rounding.output[0]]) > 1:
            continue
        moves = maker.op_type in _MOVING and forms.get(value) == form
        fuses = maker.op_type in WEIGHTED and all(reader.op_type in ELEMENTWISE for reader in readers[output])
        if moves or fuses:
            instead[output] = value
            spared.update((*rounding.output, output))
    set_values(graph.node, [node for node in graph.node if spared.isdisjoint(node.output)])
    return result


def _moved_form(node: onnx.NodeProto, forms: Mapping[str, _Form]) -> _Form | None:
    """Return the form of all values that an operator moves; None where they have several, or it makes others of them.

    All that move give values that they got, but for resizing between them.
    """
    modes = (attribute.s for attribute in node.attribute if attribute.name == "mode")
    if node.op_type not in _MOVING or (node.op_type == "Resize" and next(modes, b"nearest") != b"nearest"):
        return None
    moved = {forms.get(name) for name in (node.input if node.op_type == "Concat" else node.input[:1])}
    return moved.pop() if len(moved) == 1 else None

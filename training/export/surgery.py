"""Surgery on artifacts: take the network out, put another in, find its layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import onnx

from yoloscope.models.detector import DETECTIONS
from yoloscope.models.errors import ExportError
from yoloscope.training.export.names import read_names, renamed, set_values, used_names
from yoloscope.training.export.onnx import NETWORK_INPUT, SCALING

_PREFIX = "network/"


def take_network(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the part of an artifact from float images [B, 3, H, W] in 0..1 (``network_input``) to its raw heads.

    Raises ExportError where the graph is not an artifact's, or one of an earlier version that names another value.
    """
    heads = [output.name for output in _heads(model)]
    maker = next((node for node in model.graph.node if NETWORK_INPUT in node.output), None)
    if maker is None or not heads:
        raise ExportError(f"expected a graph with the values {NETWORK_INPUT!r} and 'head_0', got none: not an artifact")
    if maker.op_type != SCALING:
        raise ExportError("expected a network that takes images in 0..1, got an older artifact: import the model anew")
    return onnx.utils.Extractor(model).extract_model([NETWORK_INPUT], heads)


def take_detection(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the part of an artifact behind its network: raw heads and thresholds in, detections out.

    ``onnx.utils.Extractor`` misses what the body of a Loop reads outside itself.
    """
    heads = _heads(model)
    inputs = {value.name: value for value in (*heads, *model.graph.input)}
    part = onnx.ModelProto()
    part.CopyFrom(model)
    set_values(part.graph.output, [value for value in model.graph.output if value.name in DETECTIONS])
    makers = {name: index for index, node in enumerate(model.graph.node) for name in node.output}
    needed, open_names = set[int](), [value.name for value in part.graph.output]
    while open_names:
        name = open_names.pop()
        if name in makers and name not in inputs and makers[name] not in needed:
            needed.add(makers[name])
            open_names.extend(read_names(model.graph.node[makers[name]]))
    set_values(part.graph.node, [node for index, node in enumerate(model.graph.node) if index in needed])
    read = set().union(*map(read_names, part.graph.node))
    set_values(part.graph.input, [value for name, value in inputs.items() if name in read])
    set_values(part.graph.initializer, [tensor for tensor in model.graph.initializer if tensor.name in read])
    set_values(part.graph.value_info, [])
    return part


def _heads(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    return [output for output in model.graph.output if output.name.startswith("head_")]


def put_network(model: onnx.ModelProto, network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the artifact with ``network`` (what ``take_network`` gave, changed) in place of its own.

    All names inside ``network`` get a prefix, so that a value of another type never meets its namesake outside.
    """
    inside = {name for node in take_network(model).graph.node for name in node.output}
    network = renamed(network, _PREFIX)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    kept = [node for node in model.graph.node if not inside.intersection(node.output)]
    first = next(index for index, node in enumerate(kept) if NETWORK_INPUT in node.output) + 1
    set_values(result.graph.node, [*kept[:first], *network.graph.node, *kept[first:]])
    used = used_names(result.graph)
    initializers = [*model.graph.initializer, *network.graph.initializer]
    set_values(result.graph.initializer, [tensor for tensor in initializers if tensor.name in used])
    set_values(result.graph.value_info, [info for info in model.graph.value_info if info.name not in inside])
    _add_opsets(result, network)
    return result


def _add_opsets(model: onnx.ModelProto, network: onnx.ModelProto) -> None:
    """Declare the operator sets that ``network`` needs besides; raise ExportError where two versions meet."""
    known = {opset.domain: opset.version for opset in model.opset_import}
    for opset in network.opset_import:
        if opset.domain not in known:
            model.opset_import.append(opset)
        elif known[opset.domain] != opset.version:
            raise ExportError(
                f"expected operators of version {known[opset.domain]}, got a network of version {opset.version}"
            )


WEIGHTED: Final = frozenset(("Conv", "Gemm", "MatMul"))
ELEMENTWISE: Final = frozenset(
    (
        *("LeakyRelu", "Relu", "Elu", "Selu", "Sigmoid", "Softplus", "Tanh", "Clip", "Mish", "HardSigmoid"),
        *("HardSwish", "Mul", "Greater", "Where"),
    )
)
"""Operators of activations: mish is x tanh(softplus(x)), and softplus has a linear end."""


@dataclass(frozen=True)
class WeightedLayer:
    """A convolution or dense layer with the activation behind it.

    ``nodes`` are names in the graph, ``products`` the multiplications by weights per image, ``values`` the tensors
    that it reads and computes.
    """

    name: str
    nodes: tuple[str, ...]
    products: int
    values: tuple[str, ...]


def find_layers(network: onnx.ModelProto) -> tuple[WeightedLayer, ...]:
    """Return the layers with weights of the graph from ``take_network``, in its order."""
    graph = onnx.shape_inference.infer_shapes(network).graph
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes = {value.name: _shape(value) for value in (*graph.value_info, *graph.output)}
    layers: list[WeightedLayer] = []
    owners: dict[str, int] = {}
    for node in graph.node:
        inputs = [name for name in node.input if name and name not in weights]
        owner = {owners.get(name, -1) for name in inputs}
        if node.op_type in WEIGHTED and node.input[1] in weights:
            places = shapes.get(node.output[0], ())[2:] if node.op_type == "Conv" else ()
            owners[node.output[0]] = len(layers)
            products = int(np.prod((*weights[node.input[1]], *places), dtype=np.int64))
            values = (node.input[0], node.output[0])
            layers.append(WeightedLayer(_readable(node.input[1]), (node.name,), products, values))
        elif node.op_type in ELEMENTWISE and len(owner) == 1 and min(owner) >= 0:
            index = owner.pop()
            owners[node.output[0]] = index
            layers[index] = _extended(layers[index], node)
    return tuple(layers)


def _extended(layer: WeightedLayer, node: onnx.NodeProto) -> WeightedLayer:
    return replace(layer, nodes=(*layer.nodes, node.name), values=(*layer.values, node.output[0]))


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)


def _readable(weight: str) -> str:
    """Return ``neck.narrow`` for ``network.neck.narrow.conv.weight``."""
    return weight.removeprefix("network.").removesuffix(".weight").removesuffix(".conv")

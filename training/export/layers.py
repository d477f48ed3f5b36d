"""The layers of an exported network that are quantised or stay in float, each as a whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import onnx

_WEIGHTED: Final = frozenset(("Conv", "Gemm", "MatMul"))
_ELEMENTWISE: Final = frozenset(
    (
        *("LeakyRelu", "Relu", "Elu", "Selu", "Sigmoid", "Softplus", "Tanh", "Clip", "Mish", "HardSigmoid"),
        *("HardSwish", "Mul", "Greater", "Where"),
    )
)
"""What activations consist of: mish is x tanh(softplus(x)), and softplus has a linear end."""


@dataclass(frozen=True)
class Layer:
    """A convolution or dense layer with the activation behind it.

    ``nodes`` are names in the graph, ``products`` the multiplications by weights per picture, ``values`` the tensors
    that it reads and computes.
    """

    name: str
    nodes: tuple[str, ...]
    products: int
    values: tuple[str, ...]


def find_layers(network: onnx.ModelProto) -> tuple[Layer, ...]:
    """Return the layers with weights of the graph from ``take_network``, in its order."""
    graph = onnx.shape_inference.infer_shapes(network).graph
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes = {value.name: _shape(value) for value in (*graph.value_info, *graph.output)}
    layers: list[Layer] = []
    owners: dict[str, int] = {}
    for node in graph.node:
        inputs = [name for name in node.input if name and name not in weights]
        owner = {owners.get(name, -1) for name in inputs}
        if node.op_type in _WEIGHTED and node.input[1] in weights:
            places = shapes.get(node.output[0], ())[2:] if node.op_type == "Conv" else ()
            owners[node.output[0]] = len(layers)
            products = int(np.prod((*weights[node.input[1]], *places), dtype=np.int64))
            values = (node.input[0], node.output[0])
            layers.append(Layer(_readable(node.input[1]), (node.name,), products, values))
        elif node.op_type in _ELEMENTWISE and len(owner) == 1 and min(owner) >= 0:
            index = owner.pop()
            owners[node.output[0]] = index
            layers[index] = _extended(layers[index], node)
    return tuple(layers)


def _extended(layer: Layer, node: onnx.NodeProto) -> Layer:
    return replace(layer, nodes=(*layer.nodes, node.name), values=(*layer.values, node.output[0]))


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)


def _readable(weight: str) -> str:
    """Return ``neck.narrow`` for ``network.neck.narrow.conv.weight``."""
    return weight.removeprefix("network.").removesuffix(".weight").removesuffix(".conv")

"""Names in ONNX graphs: a prefix for what is inside one, so that two graphs can be joined, and which names are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableSequence
from typing import TypeVar

import onnx

Value = TypeVar("Value")


def renamed(model: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """Return a copy with ``prefix`` before the names of nodes and values, but for inputs and outputs."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    _rename(copied.graph, prefix, {value.name for value in (*model.graph.input, *model.graph.output)})
    return copied


def _rename(graph: onnx.GraphProto, prefix: str, kept: set[str]) -> None:
    """Put the prefix before all names but those ``kept``; in subgraphs too."""

    def prefixed(names: Iterable[str]) -> list[str]:
        return [name if not name or name in kept else prefix + name for name in names]

    for node in graph.node:
        node.name = prefix + node.name
        set_values(node.input, prefixed(node.input))
        set_values(node.output, prefixed(node.output))
        for subgraph in _subgraphs(node):
            _rename(subgraph, prefix, kept)
    for value in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        (value.name,) = prefixed([value.name])


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from (attribute.g, *attribute.graphs)


def copy_constants_inside(graph: onnx.GraphProto) -> None:
    """Give the subgraphs of loops and branches copies of the constants that they take from the graphs around them.

    onnxruntime on CUDA reads such a constant on the wrong side (a segmentation fault in 1.31) where one graph needs it
    in the host's memory and another on the device.
    """
    _copy_constants(graph, {})
    used = used_names(graph)
    set_values(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])


def _copy_constants(graph: onnx.GraphProto, outside: Mapping[str, onnx.TensorProto]) -> None:
    constants = {**outside, **{tensor.name: tensor for tensor in graph.initializer}}
    for node in graph.node:
        for subgraph in _subgraphs(node):
            made = {value.name for value in (*subgraph.input, *subgraph.initializer)}
            made |= {name for inner in subgraph.node for name in inner.output}
            read = {name for inner in subgraph.node for name in inner.input} - made
            copies = {name: f"{node.name}/{name}" for name in sorted(read & constants.keys())}
            for name, copied in copies.items():
                tensor = subgraph.initializer.add()
                tensor.CopyFrom(constants[name])
                tensor.name = copied
            for inner in subgraph.node:
                set_values(inner.input, [copies.get(name, name) for name in inner.input])
            _copy_constants(subgraph, constants)


def read_names(node: onnx.NodeProto) -> set[str]:
    """Return every value that a node reads, inside its subgraphs too."""
    return set(node.input).union(*(used_names(subgraph) for subgraph in _subgraphs(node)))


def used_names(graph: onnx.GraphProto) -> set[str]:
    """Return every value that is read, inside subgraphs too, or that is an input of the graph."""
    return {value.name for value in (*graph.output, *graph.input)}.union(*map(read_names, graph.node))


def set_values(field: MutableSequence[Value], values: list[Value]) -> None:
    """Set the content of a repeated field of a protocol buffer."""
    del field[:]
    field.extend(values)

"""The network inside an artefact: taken out, and another put in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence
from typing import TypeVar

import onnx

from models.errors import ExportError
from training.export.onnx import NETWORK_INPUT

_PREFIX = "network/"
Value = TypeVar("Value")


def take_network(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the part of an artefact from float pictures [B, 3, H, W] in 0..1 (``network_input``) to its raw heads.

    Raises ExportError where the graph is not an artefact's.
    """
    heads = [output.name for output in model.graph.output if output.name.startswith("head_")]
    produced = {name for node in model.graph.node for name in node.output}
    if NETWORK_INPUT not in produced or not heads:
        raise ExportError(f"expected a graph with the values {NETWORK_INPUT!r} and 'head_0', got none: not an artefact")
    return onnx.utils.Extractor(model).extract_model([NETWORK_INPUT], heads)


def put_network(model: onnx.ModelProto, network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the artefact with ``network`` (what ``take_network`` gave, changed) in place of its own.

    All names inside ``network`` get a prefix, so that a value of another type never meets its namesake outside.
    """
    inside = {name for node in take_network(model).graph.node for name in node.output}
    network = _copy(network)
    _rename(network.graph, {value.name for value in (*network.graph.input, *network.graph.output)})
    result = _copy(model)
    kept = [node for node in model.graph.node if not inside.intersection(node.output)]
    first = next(index for index, node in enumerate(kept) if NETWORK_INPUT in node.output) + 1
    _replace(result.graph.node, [*kept[:first], *network.graph.node, *kept[first:]])
    used = _used_names(result.graph)
    initializers = [*model.graph.initializer, *network.graph.initializer]
    _replace(result.graph.initializer, [tensor for tensor in initializers if tensor.name in used])
    _replace(result.graph.value_info, [info for info in model.graph.value_info if info.name not in inside])
    _add_opsets(result, network)
    return result


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def _rename(graph: onnx.GraphProto, kept: set[str]) -> None:
    """Put the prefix before the names of nodes and values, but for those ``kept``; in subgraphs too."""

    def renamed(names: Iterable[str]) -> list[str]:
        return [name if not name or name in kept else _PREFIX + name for name in names]

    for node in graph.node:
        node.name = _PREFIX + node.name
        _replace(node.input, renamed(node.input))
        _replace(node.output, renamed(node.output))
        for subgraph in _subgraphs(node):
            _rename(subgraph, kept)
    for value in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        (value.name,) = renamed([value.name])


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from (attribute.g, *attribute.graphs)


def _used_names(graph: onnx.GraphProto) -> set[str]:
    """Return every value that is read, inside subgraphs too, or that is an input of the graph."""
    used = {value.name for value in (*graph.output, *graph.input)}
    for node in graph.node:
        used.update(node.input)
        for subgraph in _subgraphs(node):
            used |= _used_names(subgraph)
    return used


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


def _replace(field: MutableSequence[Value], values: list[Value]) -> None:
    """Set the content of a repeated field of a protocol buffer."""
    del field[:]
    field.extend(values)

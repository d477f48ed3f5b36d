"""What is concatenated has one range, wherever it comes from."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from training.export.artefact import read_artefact
from training.export.calibration import find_calibration, network_inputs
from training.export.int8 import Int8Settings, quantize_to_int8
from training.export.network_part import take_network
from training.export.shared_ranges import share_ranges


def network(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    names = {name for node in nodes for name in node.input} - {name for node in nodes for name in node.output}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (*sorted(names), "end")]
    return helper.make_model(helper.make_graph(nodes, "test", values[:-1], values[-1:]))


def test_parts_and_whole_have_the_widest_range() -> None:
    made = network(
        helper.make_node("LeakyRelu", ["in"], ["a"]),
        helper.make_node("Relu", ["in"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["end"], axis=1),
    )
    ranges = {"in": (-9.0, 9.0), "a": (-1.0, 4.0), "b": (0.0, 8.0), "end": (-0.5, 6.0)}
    shared = share_ranges(made, ranges)
    assert shared == {"in": (-9.0, 9.0), "a": (-1.0, 8.0), "b": (-1.0, 8.0), "end": (-1.0, 8.0)}
    assert ranges["a"] == (-1.0, 4.0)


def test_parts_are_followed_through_what_leaves_values_as_they_are() -> None:
    """The resized and the cut map are ranged as their sources, and one source is part of two wholes."""
    made = network(
        helper.make_node("Resize", ["a"], ["larger"]),
        helper.make_node("Slice", ["b"], ["half"]),
        helper.make_node("Concat", ["larger", "half"], ["whole"], axis=1),
        helper.make_node("MaxPool", ["b"], ["pooled"]),
        helper.make_node("Concat", ["pooled", "c"], ["end"], axis=1),
    )
    ranges = dict.fromkeys(("a", "larger", "b", "half", "pooled", "c"), (-1.0, 1.0))
    shared = share_ranges(made, ranges | {"whole": (-3.0, 1.5), "end": (-2.0, 5.0)})
    assert set(shared.values()) == {(-3.0, 5.0)}


def test_what_is_not_concatenated_keeps_its_range() -> None:
    made = network(
        helper.make_node("Slice", ["a"], ["half"]),
        helper.make_node("Add", ["half", "b"], ["end"]),
    )
    ranges = {"a": (-1.0, 1.0), "half": (0.0, 1.0), "b": (0.0, 2.0), "end": (0.0, 3.0)}
    assert share_ranges(made, ranges) == ranges


def test_a_quantised_network_concatenates_values_of_one_scale(small: Path, shapes: Path) -> None:
    model, spec = read_artefact(small)
    pictures = network_inputs(find_calibration(shapes, "train", 6).levels(spec))
    made = quantize_to_int8(take_network(model), spec, pictures, Int8Settings(float_share=0)).network
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    makers = {name: node for node in made.graph.node for name in node.output}
    readers = {name: node for node in made.graph.node for name in node.input}
    found = 0
    for node in made.graph.node:
        if node.op_type != "Concat":
            continue
        around = [*(makers[name] for name in node.input), readers[node.output[0]]]
        assert {one.op_type for one in around} == {"QuantizeLinear", "DequantizeLinear"}
        assert len({tuple(float(np.ravel(constants[name])[0]) for name in one.input[1:]) for one in around}) == 1
        found += 1
    assert found >= 7

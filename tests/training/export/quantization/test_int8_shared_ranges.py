"""What is concatenated has one range, wherever it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from yoloscope.training.export.artifact import read_artifact
from yoloscope.training.export.quantization import int8
from yoloscope.training.export.quantization.int8 import Int8Settings, quantize_to_int8
from yoloscope.training.export.quantization.ranges import Range, find_calibration, network_inputs, share_ranges
from yoloscope.training.export.surgery import take_network


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


@dataclass(frozen=True)
class Scales:
    """The scales around each concatenation of a quantized network, and the error of its detections."""

    around: list[set[float]]
    error: float


def scales_of(small: Path, shapes: Path) -> Scales:
    model, spec = read_artifact(small)
    images = network_inputs(find_calibration(shapes, "train", 6).levels(spec))
    settings = Int8Settings(float_share=0, method="extremes")
    made = quantize_to_int8(take_network(model), spec, images, settings)
    graph = made.network.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    readers = {name: node for node in graph.node for name in node.input}
    around = []
    for node in graph.node:
        if node.op_type == "Concat":
            beside = [*(makers[name] for name in node.input), readers[node.output[0]]]
            assert {one.op_type for one in beside} == {"QuantizeLinear", "DequantizeLinear"}
            around.append({float(np.ravel(constants[one.input[1]])[0]) for one in beside})
    return Scales(around, made.error)


def test_a_quantized_network_concatenates_values_of_one_scale(small: Path, shapes: Path) -> None:
    around = scales_of(small, shapes).around
    assert len(around) >= 7
    assert {len(scales) for scales in around} == {1}


def test_ranges_are_not_shared_where_that_costs_accuracy(
    small: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def far_too_wide(_network: onnx.ModelProto, ranges: Mapping[str, Range]) -> dict[str, Range]:
        return {name: (50 * low, 50 * high) for name, (low, high) in ranges.items()}

    shared = scales_of(small, shapes)
    monkeypatch.setattr(int8, "share_ranges", far_too_wide)
    own = scales_of(small, shapes)
    assert max(map(len, own.around)) > 1
    assert max(max(scales) for scales in own.around) <= max(max(scales) for scales in shared.around)
    assert own.error < 2 * shared.error

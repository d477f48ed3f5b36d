"""Which roundings of a quantized network are spared, and that those of moved values change nothing."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from yoloscope.training.export.artifact import read_artifact
from yoloscope.training.export.onnx import NETWORK_INPUT
from yoloscope.training.export.quantization.int8 import quantize_network
from yoloscope.training.export.quantization.ranges import (
    choose_ranges,
    collect_histograms,
    find_calibration,
    network_inputs,
    share_ranges,
)
from yoloscope.training.export.quantization.roundings import without_needless_roundings
from yoloscope.training.export.surgery import take_network

OPSET = 17


def model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Return a network of ``x`` [1, 4, 4, 4] to ``end`` whose scales are ``one`` and ``two``, zero points ``zero``."""
    constants = [
        helper.make_tensor("one", TensorProto.FLOAT, [], [0.03]),
        helper.make_tensor("two", TensorProto.FLOAT, [], [0.05]),
        helper.make_tensor("zero", TensorProto.UINT8, [], [7]),
        helper.make_tensor("weight", TensorProto.FLOAT, [4, 4, 1, 1], np.linspace(-1, 1, 16).tolist()),
        helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0, 1.0, 2.0, 2.0]),
    ]
    values = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 4, 4])
    end = helper.make_tensor_value_info("end", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "test", [values], [end], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def rounded(name: str, scale: str = "one") -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """Return the pair that rounds a value ``name`` to ``name_r``."""
    return (
        helper.make_node("QuantizeLinear", [name, scale, "zero"], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", scale, "zero"], [f"{name}_r"]),
    )


def pairs(network: onnx.ModelProto) -> int:
    return Counter(node.op_type for node in network.graph.node)["QuantizeLinear"]


def run(network: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return found


def some() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 2, (1, 4, 4, 4)).astype(np.float32)


POOL = helper.make_node("MaxPool", ["x_r"], ["moved"], kernel_shape=[2, 2], strides=[2, 2])
TWICE = helper.make_node("Concat", ["x_r", "x_r"], ["moved"], axis=1)
NEAREST = helper.make_node("Resize", ["x_r", "", "scales"], ["moved"], mode="nearest")


@pytest.mark.parametrize("moving", [POOL, TWICE, NEAREST], ids=lambda node: node.op_type)
def test_moved_values_are_not_rounded_again(moving: onnx.NodeProto) -> None:
    end = helper.make_node("Sigmoid", ["moved_r"], ["end"])
    before = model(*rounded("x"), moving, *rounded("moved"), end)
    after = without_needless_roundings(before)
    assert (pairs(before), pairs(after)) == (2, 1)
    np.testing.assert_array_equal(run(after, some()), run(before, some()))


def test_values_moved_twice_are_not_rounded_in_between() -> None:
    again = helper.make_node("Concat", ["moved_r", "moved_r"], ["wide"], axis=1)
    end = helper.make_node("Sigmoid", ["wide_r"], ["end"])
    before = model(*rounded("x"), POOL, *rounded("moved"), again, *rounded("wide"), end)
    after = without_needless_roundings(before)
    assert (pairs(before), pairs(after)) == (3, 1)
    np.testing.assert_array_equal(run(after, some()), run(before, some()))


def test_moved_values_of_another_scale_are_rounded() -> None:
    end = helper.make_node("Sigmoid", ["moved_r"], ["end"])
    before = model(*rounded("x"), POOL, *rounded("moved", "two"), end)
    assert without_needless_roundings(before) == before


def test_parts_of_several_scales_are_rounded_to_one() -> None:
    other = helper.make_node("Relu", ["x_r"], ["other"])
    whole = helper.make_node("Concat", ["x_r", "other_r"], ["moved"], axis=1)
    end = helper.make_node("Sigmoid", ["moved_r"], ["end"])
    before = model(*rounded("x"), other, *rounded("other", "two"), whole, *rounded("moved"), end)
    assert without_needless_roundings(before) == before


def test_values_between_pixels_are_rounded() -> None:
    between = helper.make_node("Resize", ["x_r", "", "scales"], ["moved"], mode="linear")
    before = model(*rounded("x"), between, *rounded("moved"), helper.make_node("Sigmoid", ["moved_r"], ["end"]))
    assert without_needless_roundings(before) == before


def bent(name: str) -> list[onnx.NodeProto]:
    """Return a leaky activation of a value."""
    return [helper.make_node("LeakyRelu", [name], ["end"])]


def mish(name: str) -> list[onnx.NodeProto]:
    """Return mish of a value, which two operators read."""
    nodes = [helper.make_node("Softplus", [name], ["soft"]), helper.make_node("Tanh", ["soft"], ["gate"])]
    return [*nodes, helper.make_node("Mul", [name, "gate"], ["end"])]


@pytest.mark.parametrize("activation", [bent, mish])
def test_nothing_is_rounded_between_a_layer_and_its_activation(
    activation: Callable[[str], list[onnx.NodeProto]],
) -> None:
    layer = helper.make_node("Conv", ["x_r", "weight"], ["sum"])
    after = without_needless_roundings(model(*rounded("x"), layer, *rounded("sum"), *activation("sum_r")))
    exact = model(*rounded("x"), layer, *activation("sum"))
    assert pairs(after) == 1
    np.testing.assert_array_equal(run(after, some()), run(exact, some()))


@pytest.mark.parametrize("reader", ["Conv", "Add"])
def test_what_others_read_of_a_layer_is_rounded(reader: str) -> None:
    layer = helper.make_node("Conv", ["x_r", "weight"], ["sum"])
    activation = helper.make_node("LeakyRelu", ["sum_r"], ["bent"])
    inputs = ["sum_r", "weight"] if reader == "Conv" else ["sum_r", "bent"]
    before = model(*rounded("x"), layer, *rounded("sum"), activation, helper.make_node(reader, inputs, ["end"]))
    assert without_needless_roundings(before) == before


def test_a_network_comes_closer_to_its_own_in_float(small: Path, shapes: Path) -> None:
    artifact, spec = read_artifact(small)
    network = take_network(artifact)
    images = network_inputs(find_calibration(shapes, "train", 4).levels(spec))
    ranges = share_ranges(network, choose_ranges(collect_histograms(network, images), "extremes"))
    quantized = quantize_network(network, ranges)
    spared = without_needless_roundings(quantized)
    assert pairs(spared) < pairs(quantized)
    expected, before, after = (_heads(one, images) for one in (network, quantized, spared))
    assert _distance(after, expected) < _distance(before, expected)


def _heads(network: onnx.ModelProto, images: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [head for image in images for head in session.run(None, {NETWORK_INPUT: image})]


def _distance(found: list[NDArray[np.float32]], expected: list[NDArray[np.float32]]) -> float:
    return float(np.mean([np.mean((one - other) ** 2) for one, other in zip(found, expected, strict=True)]))

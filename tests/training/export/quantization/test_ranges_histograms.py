"""Histograms of a network of one activation."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from yoloscope.training.export.quantization.ranges import BINS, collect_histograms


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """head_0 = leaky(network_input), slope 1/2, and its double."""
    shape = ["batch", 3, 2, 2]
    graph = helper.make_graph(
        [
            helper.make_node("LeakyRelu", ["network_input"], ["leaky"], alpha=0.5),
            helper.make_node("Add", ["leaky", "leaky"], ["head_0"]),
        ],
        "network",
        [helper.make_tensor_value_info("network_input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("head_0", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_every_value_of_every_image_is_counted_between_the_extremes_of_all(network: onnx.ModelProto) -> None:
    first = np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 3, 2, 2)
    second = np.full((1, 3, 2, 2), 3, np.float32)
    runs: list[int] = []
    found = collect_histograms(network, [first, second], runs.append)
    assert sorted(found) == ["head_0", "leaky", "network_input"]
    assert {name: (one.low, one.high) for name, one in found.items()} == {
        "network_input": (-1, 3),
        "leaky": (-0.5, 3),
        "head_0": (-1, 6),
    }
    assert all(one.counts.sum() == 24 and len(one.counts) == BINS for one in found.values())
    assert all(one.counts[-1] == 12 and one.counts[0] == 1 for one in found.values())
    assert sum(runs) == 4


def test_a_constant_tensor_is_one_bin(network: onnx.ModelProto) -> None:
    found = collect_histograms(network, [np.zeros((1, 3, 2, 2), np.float32)])["head_0"]
    assert (found.low, found.high, found.counts[0], found.counts.sum()) == (0, 0, 12, 12)

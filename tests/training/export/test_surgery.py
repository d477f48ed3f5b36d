"""Layers found in exported networks."""

from pathlib import Path

import onnx

from yoloscope.training.export.surgery import find_layers, take_network


def test_every_convolution_with_its_activation(small: Path) -> None:
    layers = find_layers(take_network(onnx.load(small)))
    assert len(layers) == 21
    assert layers[0].name == "backbone.stem.0"
    assert len(layers[0].nodes) == 2
    assert layers[0].products == 3 * 8 * 9 * 32 * 32, "8 channels of 32x32 from 3, by 3x3"
    assert layers[0].values[0] == "network_input"
    heads = [layer for layer in layers if layer.name.endswith("predict")]
    assert [len(layer.nodes) for layer in heads] == [1, 1]
    assert heads[0].products == 64 * 21 * 2 * 2, "a head of 3 (5 + 2) channels on 2x2 cells"
    assert {layer.values[-1] for layer in heads} == {"head_0", "head_1"}


def test_a_composed_activation_belongs_to_its_layer(mish: Path) -> None:
    """Mish: softplus with its linear end (three nodes), tanh, product."""
    layers = find_layers(take_network(onnx.load(mish)))
    assert len(layers[0].nodes) == 6
    assert len({node for layer in layers for node in layer.nodes}) == sum(len(layer.nodes) for layer in layers)

"""Weights in the order of a darknet file: batch norm, implicit constants, whole modules."""

import torch

from yoloscope.models.layers.batchnorm import BatchNorm
from yoloscope.models.layers.implicit import Implicit
from yoloscope.models.layers.weight_block import weight_blocks, weighted_layers


def test_implicit_repeats_its_constant_over_the_batch() -> None:
    implicit = Implicit(3, 2)
    got = implicit(torch.zeros(4, 9, 5, 5))
    assert got.shape == (4, 3, 2, 1)
    assert torch.equal(got[3], implicit.weights)


def test_batch_norm_layer_stores_biases_first() -> None:
    assert [b.role for b in BatchNorm(2).weight_blocks()] == ["biases", "scales", "mean", "variance"]


def test_weighted_layers_come_in_module_order() -> None:
    first, second = BatchNorm(2), Implicit(1)
    module = torch.nn.Sequential(torch.nn.Sequential(first, torch.nn.ReLU()), second)
    assert [id(layer) for layer in weighted_layers(module)] == [id(first), id(second)]
    assert len(weight_blocks(module)) == 5

"""Weights in the order in which darknet stores them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@dataclass(frozen=True)
class WeightBlock:
    """One run of floats in a .weights file and the tensor that holds it.

    ``tensor`` is the parameter or buffer itself, laid out as in the file. ``transposed`` marks a matrix [rows, ...]
    that the file stores as [..., rows] (darknet's ``flipped=1``). ``matrix`` marks the weights of a connected layer,
    which files of the transposed format store as [in, out].
    """

    role: str
    tensor: Tensor
    transposed: bool = False
    matrix: bool = False


@runtime_checkable
class WeightedLayer(Protocol):
    """A module that owns weights and knows darknet's order of them."""

    def weight_blocks(self) -> tuple[WeightBlock, ...]:
        """Return the layer's weights in file order; empty where the layer borrows those of another."""
        ...


def weighted_layers(module: nn.Module) -> Iterator[WeightedLayer]:
    """Yield the weighted layers below ``module`` in registration order, without descending into them."""
    if isinstance(module, WeightedLayer):
        yield module
        return
    for child in module.children():
        yield from weighted_layers(child)


def weight_blocks(module: nn.Module) -> tuple[WeightBlock, ...]:
    """Return every weight of ``module`` in file order."""
    return tuple(block for layer in weighted_layers(module) for block in layer.weight_blocks())


def norm_blocks(norm: nn.BatchNorm2d) -> tuple[WeightBlock, ...]:
    """Return scales, mean and variance of a batch normalization, which darknet stores after its biases."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    return WeightBlock("scales", norm.weight), WeightBlock("mean", mean), WeightBlock("variance", variance)

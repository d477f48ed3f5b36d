"""Locally connected layers: a kernel of its own for each cell."""

import torch
from torch.nn import functional

from yoloscope.models.layers.local import LocalConv, local_length


def test_local_layer_with_equal_kernels_is_a_convolution() -> None:
    local = LocalConv(2, 5, 7, 3, 3, 2, activation="linear")
    kernel = torch.randn(3, 2, 3, 3)
    with torch.no_grad():
        local.weights.copy_(kernel.flatten(1).expand_as(local.weights))
    x = torch.randn(2, 2, 5, 7)
    torch.testing.assert_close(local(x), functional.conv2d(x, kernel, stride=2))


def test_local_layer_uses_each_cells_own_kernel_and_bias() -> None:
    local = LocalConv(1, 1, 2, 1, 1, activation="linear")
    with torch.no_grad():
        local.weights.copy_(torch.tensor([2.0, 3.0]).reshape(2, 1, 1))
        local.biases.copy_(torch.tensor([10.0, 20.0]).reshape(1, 1, 2))
    assert local(torch.ones(1, 1, 1, 2)).flatten().tolist() == [12, 23]


def test_local_length_counts_as_darknet() -> None:
    assert [local_length(7, 3, 1, 1), local_length(7, 3, 1, 0), local_length(7, 3, 2, 0)] == [7, 5, 3]
    assert LocalConv(1, 7, 7, 1, 3, padding=1)(torch.zeros(1, 1, 7, 7)).shape == (1, 1, 7, 7)

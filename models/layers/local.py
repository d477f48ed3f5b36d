"""The locally connected layer of YOLOv1: a convolution whose kernels differ from place to place."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from yoloscope.models.layers.activations import Activation
from yoloscope.models.layers.weight_block import WeightBlock


def local_length(length: int, size: int, stride: int, padding: int) -> int:
    """Return the output length along one side, as darknet counts it: padded layers lose 1, others ``size``."""
    return (length - (1 if padding else size)) // stride + 1


class LocalConv(nn.Module):
    """Locally connected layer [B, C, h, w] -> [B, filters, h', w'] with a kernel and a bias per output cell.

    ``height`` and ``width`` are those of the input, fixed at construction. Weights are [cells, filters, C*k*k],
    biases [filters, h', w']. Source: darknet src/local_layer.c.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        filters: int,
        size: int,
        stride: int = 1,
        *,
        padding: int = 0,
        activation: str = "leaky",
    ) -> None:
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding
        self.rows = local_length(height, size, stride, padding)
        self.columns = local_length(width, size, stride, padding)
        fan_in = channels * size * size
        bound = (2 / fan_in) ** 0.5
        self.weights = nn.Parameter(torch.empty(self.rows * self.columns, filters, fan_in).uniform_(-bound, bound))
        self.biases = nn.Parameter(torch.zeros(filters, self.rows, self.columns))
        self.activation = Activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated map."""
        taps = self._taps(functional.pad(x, (self.padding,) * 4))
        cells = taps.flatten(3).permute(3, 0, 1, 2).flatten(2)
        product = torch.matmul(cells, self.weights.transpose(1, 2)).permute(1, 2, 0)
        total = product.reshape(product.shape[0], -1, self.rows, self.columns) + self.biases
        activated: Tensor = self.activation(total)
        return activated

    def _taps(self, x: Tensor) -> Tensor:
        """Return [B, C, k*k, h', w']: the map shifted to every kernel position."""
        down, along = (self.rows - 1) * self.stride + 1, (self.columns - 1) * self.stride + 1
        shifted = [
            x[:, :, dy : dy + down : self.stride, dx : dx + along : self.stride]
            for dy in range(self.size)
            for dx in range(self.size)
        ]
        return torch.stack(shifted, 2)

    def weight_blocks(self) -> tuple[WeightBlock, ...]:
        """Return biases, then the kernels cell by cell."""
        return WeightBlock("biases", self.biases), WeightBlock("weights", self.weights)

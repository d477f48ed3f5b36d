"""The fully connected layer (darknet src/connected_layer.c)."""

from __future__ import annotations

from torch import Tensor, nn

from yoloscope.models.layers.activations import Activation
from yoloscope.models.layers.convolution import BATCH_NORM_EPS
from yoloscope.models.layers.weight_block import WeightBlock, norm_blocks


class Connected(nn.Module):
    """Matrix product over the whole map [B, C, H, W] -> [B, outputs, 1, 1], normalization or bias, activation.

    Inputs are read in channel, row, column order.
    """

    def __init__(self, inputs: int, outputs: int, *, batch_norm: bool = False, activation: str = "leaky") -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=not batch_norm)
        self.norm = nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS) if batch_norm else None
        self.activation = Activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated outputs as a map of one cell."""
        product = self.linear(x.flatten(1))[:, :, None, None]
        activated: Tensor = self.activation(product if self.norm is None else self.norm(product))
        return activated

    def weight_blocks(self) -> tuple[WeightBlock, ...]:
        """Return biases, the matrix [out, in], then scales, mean and variance where normalized."""
        matrix = WeightBlock("weights", self.linear.weight, matrix=True)
        if self.norm is not None:
            return WeightBlock("biases", self.norm.bias), matrix, *norm_blocks(self.norm)
        return WeightBlock("biases", self.linear.bias), matrix

"""Batch normalization as a layer of its own (darknet src/batchnorm_layer.c)."""

from __future__ import annotations

from torch import Tensor, nn

from yoloscope.models.layers.convolution import BATCH_NORM_EPS
from yoloscope.models.layers.weight_block import WeightBlock, norm_blocks


class BatchNorm(nn.Module):
    """Normalize every channel of [B, C, H, W], eps 1e-5."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized map."""
        normalized: Tensor = self.norm(x)
        return normalized

    def weight_blocks(self) -> tuple[WeightBlock, ...]:
        """Return biases, scales, mean and variance."""
        return WeightBlock("biases", self.norm.bias), *norm_blocks(self.norm)

"""The backbone of the tiny YOLOv1, v2 and v3: 3x3 convolutions that double in width, a 2x2 max pool after each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.layers.convolution import ConvBlock
from models.layers.pooling import MaxPool


def scaled(channels: int, width: float) -> int:
    """Return a channel count times a width multiplier, as a multiple of 8."""
    return max(8, round(channels * width / 8) * 8)


class TinyBackbone(nn.Module):
    """Pictures [B, 3, H, W] -> the maps after each convolution, before its pool; the last pool has its own stride.

    With ``widths`` of n entries the result is n + 1 maps, the last of them pooled.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 128, 256, 512), *, last_stride: int = 1) -> None:
        super().__init__()
        channels = (3, *widths)
        self.convolutions = nn.ModuleList(ConvBlock(before, after, 3) for before, after in pairwise(channels))
        self.pools = nn.ModuleList([*(MaxPool(2, 2) for _ in widths[1:]), MaxPool(2, last_stride)])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps, finest first."""
        maps: list[Tensor] = []
        for convolution, pool in zip(self.convolutions, self.pools, strict=True):
            maps.append(convolution(x))
            x = pool(maps[-1])
        return (*maps, x)

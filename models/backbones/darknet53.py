"""Darknet-53 without its classifier (Redmon and Farhadi 2018, YOLOv3, table 1)."""

from __future__ import annotations

from torch import Tensor, nn

from models.layers.convolution import ConvBlock
from models.layers.csp import Residual

DEPTHS = (1, 2, 8, 8, 4)


def _stage(in_channels: int, depth: int) -> nn.Sequential:
    filters = 2 * in_channels
    down = ConvBlock(in_channels, filters, 3, 2)
    return nn.Sequential(down, *(Residual(filters, in_channels) for _ in range(depth)))


class Darknet53(nn.Module):
    """Pictures [B, 3, H, W] -> maps of 256, 512 and 1024 channels at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBlock(3, 32, 3)
        self.stages = nn.ModuleList(_stage(32 << index, depth) for index, depth in enumerate(DEPTHS))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps at strides 8, 16 and 32."""
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[-3], maps[-2], maps[-1]

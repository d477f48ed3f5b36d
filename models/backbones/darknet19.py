"""Darknet-19 without its classifier (Redmon and Farhadi 2017, YOLO9000, table 6)."""

from __future__ import annotations

from torch import Tensor, nn

from models.layers.convolution import ConvBlock
from models.layers.pooling import MaxPool


def _alternating(in_channels: int, filters: int, count: int) -> nn.Sequential:
    """Return ``count`` convolutions, 3x3 to ``filters`` and 1x1 to half of it in turn, beginning and ending 3x3."""
    layers = [ConvBlock(in_channels, filters, 3)]
    for index in range(1, count):
        wide = index % 2 == 0
        before, after = (filters // 2, filters) if wide else (filters, filters // 2)
        layers.append(ConvBlock(before, after, 3 if wide else 1))
    return nn.Sequential(*layers)


class Darknet19(nn.Module):
    """Pictures [B, 3, H, W] -> ([B, 512, H/16, W/16], [B, 1024, H/32, W/32])."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            _alternating(before, after, count)
            for before, after, count in (
                (3, 32, 1),
                (32, 64, 1),
                (64, 128, 3),
                (128, 256, 3),
                (256, 512, 5),
                (512, 1024, 5),
            )
        )
        self.pool = MaxPool(2, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps at strides 16 and 32."""
        maps: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            maps.append(stage(self.pool(maps[-1]) if index else x))
        return maps[-2], maps[-1]

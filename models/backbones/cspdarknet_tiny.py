"""The backbone of YOLOv4-tiny (Wang et al. 2020, Scaled-YOLOv4; darknet cfg/yolov4-tiny.cfg)."""

from __future__ import annotations

from torch import Tensor, nn

from models.backbones.tiny import scaled
from models.layers.convolution import ConvBlock
from models.layers.csp import CspTinyBlock
from models.layers.pooling import MaxPool


class CspDarknetTiny(nn.Module):
    """Pictures [B, 3, H, W] -> maps of 128, 256 and 512 channels (times ``width``) at strides 8, 16 and 32."""

    def __init__(self, width: float = 1.0, *, activation: str = "leaky") -> None:
        super().__init__()
        channels = [scaled(count, width) for count in (32, 64, 128, 256, 512)]
        self.channels = (channels[2], channels[3], channels[4])
        self.stem = nn.Sequential(
            ConvBlock(3, channels[0], 3, 2, activation=activation),
            ConvBlock(channels[0], channels[1], 3, 2, activation=activation),
        )
        self.blocks = nn.ModuleList(
            CspTinyBlock(before, after, activation=activation)
            for before, after in (
                (channels[1], channels[1]),
                (2 * channels[1], channels[2]),
                (2 * channels[2], channels[3]),
            )
        )
        self.pool = MaxPool(2, 2)
        self.last = ConvBlock(2 * channels[3], channels[4], 3, activation=activation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps at strides 8, 16 and 32."""
        x = self.stem(x)
        maps: list[Tensor] = []
        for block in self.blocks:
            whole, mixed = block(x)
            maps.append(mixed)
            x = self.pool(whole)
        return maps[1], maps[2], self.last(x)

"""The backbones of YOLOv4 and YOLOv4-csp (CSPDarknet53; Bochkovskiy et al. 2020, Wang et al. 2020) and YOLOv4-tiny."""

from __future__ import annotations

from torch import Tensor, nn

from yoloscope.models.backbones.darknet import DEPTHS, FiveStages, scaled, scaled_depth
from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.layers.csp import CspStage, CspTinyBlock, Residual
from yoloscope.models.layers.dropblock import DropBlock
from yoloscope.models.layers.pooling import MaxPool


class CspDarknet53(FiveStages):
    """Images [B, C, H, W] -> maps of 256, 512 and 1024 channels, times ``width``, at strides 8, 16 and 32.

    ``partial_first`` makes the first stage partial as well, which YOLOv4 does and YOLOv4-csp does not. ``dropblock``
    is the probability with which squares of the two coarsest maps are dropped in training, ``depth`` multiplies the
    number of residual blocks.
    """

    def __init__(
        self,
        *,
        activation: str = "mish",
        partial_first: bool = True,
        weighted_residuals: bool = False,
        dropblock: float = 0.0,
        width: float = 1.0,
        depth: float = 1.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        channels = [scaled(32 << index, width) for index in range(len(DEPTHS) + 1)]
        depths = [scaled_depth(blocks, depth) for blocks in DEPTHS]
        self.stem = ConvBlock(in_channels, channels[0], 3, activation=activation)
        first: nn.Module = (
            CspStage(
                channels[0], channels[1], depths[0], first=True, activation=activation, weighted=weighted_residuals
            )
            if partial_first
            else nn.Sequential(
                ConvBlock(channels[0], channels[1], 3, 2, activation=activation),
                Residual(channels[1], channels[0], activation=activation, weighted=weighted_residuals),
            )
        )
        others = (
            CspStage(before, filters, blocks, activation=activation, weighted=weighted_residuals)
            for before, filters, blocks in zip(channels[1:], channels[2:], depths[1:], strict=False)
        )
        self.stages = nn.ModuleList([first, *others])
        self.drop = DropBlock(dropblock)


class CspDarknetTiny(nn.Module):
    """Images [B, C, H, W] -> maps of 128, 256 and 512 channels (times ``width``) at strides 8, 16 and 32."""

    def __init__(self, width: float = 1.0, *, activation: str = "leaky", in_channels: int = 3) -> None:
        super().__init__()
        channels = [scaled(count, width) for count in (32, 64, 128, 256, 512)]
        self.channels = (channels[2], channels[3], channels[4])
        self.stem = nn.Sequential(
            ConvBlock(in_channels, channels[0], 3, 2, activation=activation),
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

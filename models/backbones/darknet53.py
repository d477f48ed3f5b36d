"""Darknet-53 without its classifier (Redmon and Farhadi 2018, YOLOv3, table 1)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from models.backbones.tiny import scaled
from models.layers.convolution import ConvBlock
from models.layers.csp import Residual
from models.layers.dropblock import DropBlock

DEPTHS = (1, 2, 8, 8, 4)


def scaled_depth(blocks: int, depth: float) -> int:
    """Return a number of residual blocks times a depth multiplier, at least 1."""
    return max(1, round(blocks * depth))


class FiveStages(nn.Module):
    """A stem and five stages that each halve the map; the last three are given, the last two through DropBlock."""

    stem: ConvBlock
    stages: nn.ModuleList
    drop: DropBlock

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps at strides 8, 16 and 32."""
        x = self.stem(x)
        for stage in self.stages[:2]:
            x = stage(x)
        fine = self.stages[2](x)
        middle = self.drop(self.stages[3](fine))
        return fine, middle, self.drop(self.stages[4](middle))


class Darknet53(FiveStages):
    """Pictures [B, 3, H, W] -> maps of 256, 512 and 1024 channels, times ``width``, at strides 8, 16 and 32.

    ``dropblock`` is the probability with which squares of the two coarsest maps are dropped in training, ``depth``
    multiplies the number of residual blocks.
    """

    def __init__(
        self,
        *,
        activation: str = "leaky",
        weighted_residuals: bool = False,
        dropblock: float = 0.0,
        width: float = 1.0,
        depth: float = 1.0,
    ) -> None:
        super().__init__()

        def stage(before: int, filters: int, blocks: int) -> nn.Sequential:
            residuals = (
                Residual(filters, before, activation=activation, weighted=weighted_residuals) for _ in range(blocks)
            )
            return nn.Sequential(ConvBlock(before, filters, 3, 2, activation=activation), *residuals)

        channels = [scaled(32 << index, width) for index in range(len(DEPTHS) + 1)]
        self.stem = ConvBlock(3, channels[0], 3, activation=activation)
        self.stages = nn.ModuleList(
            stage(*pair, scaled_depth(blocks, depth)) for pair, blocks in zip(pairwise(channels), DEPTHS, strict=True)
        )
        self.drop = DropBlock(dropblock)

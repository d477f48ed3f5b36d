"""CSPDarknet53, the backbone of YOLOv4 (Bochkovskiy et al. 2020), and that of YOLOv4-csp (Wang et al. 2020)."""

from __future__ import annotations

from torch import nn

from models.backbones.darknet53 import DEPTHS, FiveStages, scaled_depth
from models.backbones.tiny import scaled
from models.layers.convolution import ConvBlock
from models.layers.csp import CspStage, Residual
from models.layers.dropblock import DropBlock


class CspDarknet53(FiveStages):
    """Pictures [B, 3, H, W] -> maps of 256, 512 and 1024 channels, times ``width``, at strides 8, 16 and 32.

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
    ) -> None:
        super().__init__()
        channels = [scaled(32 << index, width) for index in range(len(DEPTHS) + 1)]
        depths = [scaled_depth(blocks, depth) for blocks in DEPTHS]
        self.stem = ConvBlock(3, channels[0], 3, activation=activation)
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

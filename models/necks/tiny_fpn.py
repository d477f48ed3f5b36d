"""The two-scale pyramid of YOLOv3-tiny and YOLOv4-tiny."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.convolution import ConvBlock
from models.layers.spp import Spp
from models.necks.blocks import Head, UpPath


class TinyFpnHeads(nn.Module):
    """Maps at strides 16 and 32 of ``channels`` -> the raw heads at strides 32 and 16.

    ``narrow`` is the width of the reduced coarse map; heads are twice as wide, the way up is half as wide. ``spp``
    pools the reduced map over squares of several sizes, so that it sees whole large objects.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        narrow: int,
        head_channels: Sequence[int],
        *,
        activation: str = "leaky",
        spp: bool = False,
    ) -> None:
        super().__init__()
        fine, coarse = channels
        self.narrow = ConvBlock(coarse, narrow, 1, activation=activation)
        self.pyramid = (
            nn.Sequential(Spp(), ConvBlock(4 * narrow, narrow, 1, activation=activation)) if spp else nn.Identity()
        )
        self.coarse_head = Head(narrow, 2 * narrow, head_channels[0], activation=activation)
        self.up = UpPath(narrow, narrow // 2, activation=activation)
        self.fine_head = Head(narrow // 2 + fine, narrow, head_channels[1], activation=activation)

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Return the raw heads, the coarse one first."""
        coarse = self.pyramid(self.narrow(coarse))
        return self.coarse_head(coarse), self.fine_head(torch.cat((self.up(coarse), fine), 1))

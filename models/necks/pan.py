"""Path aggregation (Liu et al. 2018, "PANet"), as YOLOv4 uses it: maps are concatenated, not added."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from models.layers.convolution import ConvBlock
from models.layers.dropblock import DropBlock
from models.necks.blocks import Head, UpPath


class PanHeads(nn.Module):
    """Maps of 256, 512 and 1024 channels at strides 8, 16 and 32 -> the raw heads at strides 8, 16 and 32.

    ``entrance`` takes the coarsest map to 512 channels; ``block(in_channels, filters)`` makes what mixes joined maps.
    First down the pyramid from coarse to fine, then up again. The heads stand between the steps, in the order of the
    published weights. Source: Bochkovskiy et al. 2020; darknet cfg/yolov4.cfg.
    """

    def __init__(
        self,
        entrance: nn.Module,
        block: Callable[[int, int], nn.Module],
        head_channels: Sequence[int],
        *,
        activation: str = "leaky",
        sam: bool = False,
        dropblock: float = 0.0,
    ) -> None:
        super().__init__()
        self.entrance = entrance
        self.coarse_up = UpPath(512, 256, activation=activation)
        self.middle_lateral = ConvBlock(512, 256, 1, activation=activation)
        self.middle_in = block(512, 256)
        self.middle_up = UpPath(256, 128, activation=activation)
        self.fine_lateral = ConvBlock(256, 128, 1, activation=activation)
        self.fine = block(256, 128)
        self.fine_head = Head(128, 256, head_channels[0], activation=activation, sam=sam)
        self.fine_down = ConvBlock(128, 256, 3, 2, activation=activation)
        self.middle = block(512, 256)
        self.middle_head = Head(256, 512, head_channels[1], activation=activation, sam=sam)
        self.middle_down = ConvBlock(256, 512, 3, 2, activation=activation)
        self.coarse = block(1024, 512)
        self.coarse_head = Head(512, 1024, head_channels[2], activation=activation, sam=sam)
        self.drop = DropBlock(dropblock)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the raw heads, finest first."""
        coarse = self.drop(self.entrance(coarse))
        middle = self.middle_in(torch.cat((self.middle_lateral(middle), self.coarse_up(coarse)), 1))
        fine = self.fine(torch.cat((self.fine_lateral(fine), self.middle_up(middle)), 1))
        middle = self.middle(torch.cat((self.fine_down(fine), middle), 1))
        coarse = self.coarse(torch.cat((self.middle_down(middle), coarse), 1))
        return self.fine_head(fine), self.middle_head(middle), self.coarse_head(coarse)

"""Path aggregation (Liu et al. 2018, "PANet"), as YOLOv4 uses it: maps are concatenated, not added."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from yoloscope.models.backbones.darknet import scaled
from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.layers.dropblock import DropBlock
from yoloscope.models.necks.blocks import Head, UpPath


class PanHeads(nn.Module):
    """Maps of 256, 512 and 1024 channels at strides 8, 16 and 32 -> the raw heads at strides 8, 16 and 32.

    All channels are times ``width``. ``entrance`` takes the coarsest map to 512 channels;
    ``block(in_channels, filters)`` makes what mixes joined maps. First down the pyramid from coarse to fine, then up
    again. The heads stand between the steps, in the order of the published weights. Source: Bochkovskiy et al. 2020;
    darknet cfg/yolov4.cfg.
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
        width: float = 1.0,
    ) -> None:
        super().__init__()
        w128, w256, w512, w1024 = (scaled(channels, width) for channels in (128, 256, 512, 1024))
        self.entrance = entrance
        self.coarse_up = UpPath(w512, w256, activation=activation)
        self.middle_lateral = ConvBlock(w512, w256, 1, activation=activation)
        self.middle_in = block(w512, w256)
        self.middle_up = UpPath(w256, w128, activation=activation)
        self.fine_lateral = ConvBlock(w256, w128, 1, activation=activation)
        self.fine = block(w256, w128)
        self.fine_head = Head(w128, w256, head_channels[0], activation=activation, sam=sam)
        self.fine_down = ConvBlock(w128, w256, 3, 2, activation=activation)
        self.middle = block(w512, w256)
        self.middle_head = Head(w256, w512, head_channels[1], activation=activation, sam=sam)
        self.middle_down = ConvBlock(w256, w512, 3, 2, activation=activation)
        self.coarse = block(w1024, w512)
        self.coarse_head = Head(w512, w1024, head_channels[2], activation=activation, sam=sam)
        self.drop = DropBlock(dropblock)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the raw heads, finest first."""
        coarse = self.drop(self.entrance(coarse))
        middle = self.middle_in(torch.cat((self.middle_lateral(middle), self.coarse_up(coarse)), 1))
        fine = self.fine(torch.cat((self.fine_lateral(fine), self.middle_up(middle)), 1))
        middle = self.middle(torch.cat((self.fine_down(fine), middle), 1))
        coarse = self.coarse(torch.cat((self.middle_down(middle), coarse), 1))
        return self.fine_head(fine), self.middle_head(middle), self.coarse_head(coarse)

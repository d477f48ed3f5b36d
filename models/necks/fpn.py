"""The feature pyramid of YOLOv3: from coarse to fine, with a head at each of three scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.necks.blocks import FiveConvs, Head, UpPath


class FpnHeads(nn.Module):
    """Maps of 256, 512 and 1024 channels at strides 8, 16 and 32 -> the raw heads at strides 32, 16 and 8.

    ``entrance`` takes the coarsest map to 512 channels. The heads stand between the steps, in the order of the
    published weights. Source: Redmon and Farhadi 2018, section 2.3; darknet cfg/yolov3.cfg.
    """

    def __init__(self, entrance: nn.Module, head_channels: Sequence[int]) -> None:
        super().__init__()
        self.coarse = entrance
        self.coarse_head = Head(512, 1024, head_channels[0])
        self.coarse_up = UpPath(512, 256)
        self.middle = FiveConvs(256 + 512, 256)
        self.middle_head = Head(256, 512, head_channels[1])
        self.middle_up = UpPath(256, 128)
        self.fine = FiveConvs(128 + 256, 128)
        self.fine_head = Head(128, 256, head_channels[2])

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the raw heads, coarsest first."""
        coarse = self.coarse(coarse)
        middle = self.middle(torch.cat((self.coarse_up(coarse), middle), 1))
        fine = self.fine(torch.cat((self.middle_up(middle), fine), 1))
        return self.coarse_head(coarse), self.middle_head(middle), self.fine_head(fine)

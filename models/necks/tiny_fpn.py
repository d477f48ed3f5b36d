"""The pyramid of YOLOv3-tiny and YOLOv4-tiny, of two scales or three."""

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
    pools the reduced map over squares of several sizes, so that it sees whole large objects. ``finest`` is the width of
    a map at stride 8 that gets a head too, for small objects (darknet cfg/yolov4-tiny-3l.cfg).
    """

    def __init__(
        self,
        channels: tuple[int, int],
        narrow: int,
        head_channels: Sequence[int],
        *,
        activation: str = "leaky",
        spp: bool = False,
        finest: int | None = None,
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
        if finest is not None:
            self.finest_up = UpPath(narrow, narrow // 4, activation=activation)
            self.finest_head = Head(narrow // 4 + finest, narrow // 2, head_channels[2], activation=activation)

    def forward(self, fine: Tensor, coarse: Tensor, finest: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the raw heads, the coarsest first."""
        coarse = self.pyramid(self.narrow(coarse))
        hidden = self.fine_head.hidden(torch.cat((self.up(coarse), fine), 1))
        heads = (self.coarse_head(coarse), self.fine_head.predict_from(hidden))
        if finest is None:
            return heads
        return (*heads, self.finest_head(torch.cat((self.finest_up(hidden), finest), 1)))

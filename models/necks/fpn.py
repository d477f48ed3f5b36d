"""Feature pyramids with heads: of YOLOv3 (three scales) and of YOLOv3-tiny and YOLOv4-tiny (two or three)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from yoloscope.models.backbones.darknet import scaled
from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.layers.dropblock import DropBlock
from yoloscope.models.layers.spp import Spp
from yoloscope.models.necks.blocks import FiveConvs, Head, UpPath


class FpnHeads(nn.Module):
    """Maps of 256, 512 and 1024 channels at strides 8, 16 and 32 -> the raw heads at strides 32, 16 and 8.

    All channels are times ``width``. ``entrance`` takes the coarsest map to 512 channels. The heads stand between the
    steps, in the order of the published weights. Source: Redmon and Farhadi 2018, section 2.3; darknet cfg/yolov3.cfg.
    """

    def __init__(
        self,
        entrance: nn.Module,
        head_channels: Sequence[int],
        *,
        activation: str = "leaky",
        sam: bool = False,
        dropblock: float = 0.0,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        w128, w256, w512, w1024 = (scaled(channels, width) for channels in (128, 256, 512, 1024))
        self.coarse = entrance
        self.coarse_head = Head(w512, w1024, head_channels[0], activation=activation, sam=sam)
        self.coarse_up = UpPath(w512, w256, activation=activation)
        self.middle = FiveConvs(w256 + w512, w256, activation=activation)
        self.middle_head = Head(w256, w512, head_channels[1], activation=activation, sam=sam)
        self.middle_up = UpPath(w256, w128, activation=activation)
        self.fine = FiveConvs(w128 + w256, w128, activation=activation)
        self.fine_head = Head(w128, w256, head_channels[2], activation=activation, sam=sam)
        self.drop = DropBlock(dropblock)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the raw heads, coarsest first."""
        coarse = self.drop(self.coarse(coarse))
        middle = self.middle(torch.cat((self.coarse_up(coarse), middle), 1))
        fine = self.fine(torch.cat((self.middle_up(middle), fine), 1))
        return self.coarse_head(coarse), self.middle_head(middle), self.fine_head(fine)


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

"""The building blocks of the necks and heads of YOLOv3 and YOLOv4."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.layers.sam import Sam
from yoloscope.models.layers.spp import Spp
from yoloscope.models.layers.upsample import Upsample


class FiveConvs(nn.Sequential):
    """1x1, 3x3, 1x1, 3x3, 1x1: [B, C, H, W] -> [B, filters, H, W], twice as wide inside."""

    def __init__(self, in_channels: int, filters: int, *, activation: str = "leaky") -> None:
        wide = 2 * filters
        super().__init__(
            ConvBlock(in_channels, filters, 1, activation=activation),
            ConvBlock(filters, wide, 3, activation=activation),
            ConvBlock(wide, filters, 1, activation=activation),
            ConvBlock(filters, wide, 3, activation=activation),
            ConvBlock(wide, filters, 1, activation=activation),
        )


class SpatialPyramid(nn.Sequential):
    """FiveConvs around spatial pyramid pooling, with one more 1x1 after it: [B, C, H, W] -> [B, filters, H, W]."""

    def __init__(self, in_channels: int, filters: int, *, activation: str = "leaky") -> None:
        wide = 2 * filters
        super().__init__(
            ConvBlock(in_channels, filters, 1, activation=activation),
            ConvBlock(filters, wide, 3, activation=activation),
            ConvBlock(wide, filters, 1, activation=activation),
            Spp(),
            ConvBlock(4 * filters, filters, 1, activation=activation),
            ConvBlock(filters, wide, 3, activation=activation),
            ConvBlock(wide, filters, 1, activation=activation),
        )


class CspSpatialPyramid(nn.Module):
    """Spatial pyramid pooling in a partial block (YOLOv4-csp): [B, C, H, W] -> [B, filters, H, W]."""

    def __init__(self, in_channels: int, filters: int, *, activation: str = "mish") -> None:
        super().__init__()
        self.bypass = ConvBlock(in_channels, filters, 1, activation=activation)
        self.pyramid = nn.Sequential(
            ConvBlock(in_channels, filters, 1, activation=activation),
            ConvBlock(filters, filters, 3, activation=activation),
            ConvBlock(filters, filters, 1, activation=activation),
            Spp(),
            ConvBlock(4 * filters, filters, 1, activation=activation),
            ConvBlock(filters, filters, 3, activation=activation),
        )
        self.merge = ConvBlock(2 * filters, filters, 1, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the merged branches."""
        merged: Tensor = self.merge(torch.cat((self.pyramid(x), self.bypass(x)), 1))
        return merged


class UpPath(nn.Module):
    """Narrow a coarse map and enlarge it: [B, C, H, W] -> [B, filters, 2H, 2W]."""

    def __init__(self, in_channels: int, filters: int, *, activation: str = "leaky") -> None:
        super().__init__()
        self.narrow = ConvBlock(in_channels, filters, 1, activation=activation)
        self.enlarge = Upsample(2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the enlarged map."""
        enlarged: Tensor = self.enlarge(self.narrow(x))
        return enlarged


class Head(nn.Module):
    """A 3x3 convolution, attention (SAM) if wanted, and the linear 1x1 that predicts: [B, C, H, W] -> raw head."""

    def __init__(
        self, in_channels: int, hidden: int, out_channels: int, *, activation: str = "leaky", sam: bool = False
    ) -> None:
        super().__init__()
        self.hidden = ConvBlock(in_channels, hidden, 3, activation=activation)
        self.attention = Sam(hidden) if sam else nn.Identity()
        self.predict = ConvBlock(hidden, out_channels, 1, batch_norm=False, activation="linear")

    def forward(self, x: Tensor) -> Tensor:
        """Return the raw head."""
        return self.predict_from(self.hidden(x))

    def predict_from(self, hidden: Tensor) -> Tensor:
        """Return the raw head of what the 3x3 convolution gave."""
        raw: Tensor = self.predict(self.attention(hidden))
        return raw

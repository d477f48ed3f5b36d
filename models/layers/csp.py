"""Residual blocks and cross-stage partial blocks (Wang et al. 2019, "CSPNet"; YOLOv4's CSPDarknet53)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.layers.residual import ResidualSum, WeightedResidual


class Residual(nn.Module):
    """1x1 to ``hidden`` channels, 3x3 back, plus the input: [B, C, H, W] -> the same shape.

    ``weighted`` learns how much of each is taken (MiWRC, YOLOv4 2.2).
    """

    def __init__(self, channels: int, hidden: int, *, activation: str = "leaky", weighted: bool = False) -> None:
        super().__init__()
        self.squeeze = ConvBlock(channels, hidden, 1, activation=activation)
        self.expand = ConvBlock(hidden, channels, 3, activation=activation)
        self.add = WeightedResidual(2, channels, per_channel=False, normalization="relu") if weighted else ResidualSum()

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        total: Tensor = self.add(self.expand(self.squeeze(x)), x)
        return total


class CspStage(nn.Module):
    """A stage of CSPDarknet53 [B, C, H, W] -> [B, filters, H/2, W/2].

    A strided convolution, then one half of the channels passes by while the other goes through ``depth`` residual
    blocks. The first stage keeps all channels in both branches and narrows inside its block.
    """

    def __init__(
        self,
        in_channels: int,
        filters: int,
        depth: int,
        *,
        first: bool = False,
        activation: str = "mish",
        weighted: bool = False,
    ) -> None:
        super().__init__()
        branch = filters if first else filters // 2
        self.down = ConvBlock(in_channels, filters, 3, 2, activation=activation)
        self.bypass = ConvBlock(filters, branch, 1, activation=activation)
        self.enter = ConvBlock(filters, branch, 1, activation=activation)
        self.blocks = nn.Sequential(
            *(Residual(branch, filters // 2, activation=activation, weighted=weighted) for _ in range(depth))
        )
        self.leave = ConvBlock(branch, branch, 1, activation=activation)
        self.merge = ConvBlock(2 * branch, filters, 1, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the merged branches."""
        x = self.down(x)
        deep = self.leave(self.blocks(self.enter(x)))
        merged: Tensor = self.merge(torch.cat((deep, self.bypass(x)), 1))
        return merged


class CspTinyBlock(nn.Module):
    """The block of YOLOv4-tiny [B, C, H, W] -> ([B, 2C, H, W], [B, C, H, W]).

    The second half of the channels passes two convolutions, both results are joined and mixed; the first output is
    that beside the undivided map, the second the mix alone.
    """

    def __init__(self, in_channels: int, filters: int, *, activation: str = "leaky") -> None:
        super().__init__()
        half = filters // 2
        self.enter = ConvBlock(in_channels, filters, 3, activation=activation)
        self.first = ConvBlock(half, half, 3, activation=activation)
        self.second = ConvBlock(half, half, 3, activation=activation)
        self.mix = ConvBlock(filters, filters, 1, activation=activation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the joined map and the mixed one."""
        whole = self.enter(x)
        first = self.first(whole[:, whole.shape[1] // 2 :])
        mixed: Tensor = self.mix(torch.cat((self.second(first), first), 1))
        return torch.cat((whole, mixed), 1), mixed


class CspPlainBlock(nn.Module):
    """The block of YOLOv4-csp's neck [B, C, H, W] -> [B, filters, H, W]: a CSP block without residual sums."""

    def __init__(self, in_channels: int, filters: int, *, activation: str = "mish") -> None:
        super().__init__()
        self.enter = ConvBlock(in_channels, filters, 1, activation=activation)
        self.bypass = ConvBlock(filters, filters, 1, activation=activation)
        self.blocks = nn.Sequential(
            *(ConvBlock(filters, filters, size, activation=activation) for size in (1, 3, 1, 3)),
        )
        self.merge = ConvBlock(2 * filters, filters, 1, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the merged branches."""
        x = self.enter(x)
        merged: Tensor = self.merge(torch.cat((self.blocks(x), self.bypass(x)), 1))
        return merged

"""Cropping the network input (darknet src/crop_layer.c, as it acts outside training)."""

from __future__ import annotations

from torch import Tensor, nn


class CenterCrop(nn.Module):
    """Cut the center out of [B, C, H, W]; ``adjust`` maps 0..1 to -1..1."""

    def __init__(self, height: int, width: int, *, adjust: bool = True) -> None:
        super().__init__()
        self.height, self.width, self.adjust = height, width, adjust

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, height, width]."""
        top, left = (x.shape[2] - self.height) // 2, (x.shape[3] - self.width) // 2
        center = x[:, :, top : top + self.height, left : left + self.width]
        return center * 2 - 1 if self.adjust else center

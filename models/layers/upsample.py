"""Nearest-neighbor upsampling, and its counterpart that sums (darknet src/upsample_layer.c)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Upsample(nn.Module):
    """Repeat every cell ``stride`` times each way [B, C, H, W] -> [B, C, H*s, W*s], times ``scale``."""

    def __init__(self, stride: int = 2, scale: float = 1.0) -> None:
        super().__init__()
        self.stride, self.scale = stride, scale

    def forward(self, x: Tensor) -> Tensor:
        """Return the enlarged map."""
        x = functional.interpolate(x, scale_factor=float(self.stride), mode="nearest")
        return x if self.scale == 1 else x * self.scale


class SumDownsample(nn.Module):
    """Sum over blocks of ``stride`` x ``stride`` cells [B, C, H, W] -> [B, C, H/s, W/s], times ``scale``."""

    def __init__(self, stride: int = 2, scale: float = 1.0) -> None:
        super().__init__()
        self.stride, self.scale = stride, scale

    def forward(self, x: Tensor) -> Tensor:
        """Return the reduced map."""
        return functional.avg_pool2d(x, self.stride) * (self.scale * self.stride**2)

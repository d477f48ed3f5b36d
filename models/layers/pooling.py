"""Pooling with darknet's window geometry (src/maxpool_layer.c, src/local_avgpool: padding split left-heavy by half)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def pooled_length(length: int, size: int, stride: int, padding: int) -> int:
    """Return the output length along one side; ``padding`` is the total of both ends."""
    return (length + padding - size) // stride + 1


def _margins(length: int, size: int, stride: int, padding: int) -> tuple[int, int]:
    before = padding // 2
    reach = (pooled_length(length, size, stride, padding) - 1) * stride + size
    return before, max(reach - length - before, 0)


class MaxPool(nn.Module):
    """Maximum over windows [B, C, H, W] -> [B, C, H', W']; what lies outside the map never wins.

    ``stride`` is one number or (vertical, horizontal); ``padding`` is the total of both ends, ``size - 1`` by
    default, of which half (rounded down) lies before the map: size 2 at stride 1 pads right and bottom only.
    """

    def __init__(self, size: int, stride: int | tuple[int, int] = 1, padding: int | None = None) -> None:
        super().__init__()
        self.size = size
        self.stride = (stride, stride) if isinstance(stride, int) else stride
        self.padding = size - 1 if padding is None else padding

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled map."""
        top, bottom = _margins(x.shape[2], self.size, self.stride[0], self.padding)
        left, right = _margins(x.shape[3], self.size, self.stride[1], self.padding)
        if top == bottom and left == right and max(top, left) <= self.size // 2:
            return functional.max_pool2d(x, self.size, self.stride, (top, left))
        return functional.max_pool2d(
            functional.pad(x, (left, right, top, bottom), value=-math.inf), self.size, self.stride
        )

    def extra_repr(self) -> str:
        """Return the geometry, for printing."""
        return f"size={self.size}, stride={self.stride}, padding={self.padding}"


class DepthMaxPool(nn.Module):
    """Maximum over channels [B, C, H, W] -> [B, out, H, W]: channel g takes channels g, g + out, g + 2 out, ..."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the channel maxima."""
        rounds = -(-x.shape[1] // self.out_channels)
        missing = rounds * self.out_channels - x.shape[1]
        if missing:
            x = functional.pad(x, (0, 0, 0, 0, 0, missing), value=-math.inf)
        return x.reshape(x.shape[0], rounds, self.out_channels, x.shape[2], x.shape[3]).amax(1)


class LocalAvgPool(nn.Module):
    """Mean over windows with the geometry of MaxPool, over the cells inside the map only."""

    def __init__(self, size: int, stride: int | tuple[int, int] = 1, padding: int | None = None) -> None:
        super().__init__()
        self.size = size
        self.stride = (stride, stride) if isinstance(stride, int) else stride
        self.padding = size - 1 if padding is None else padding

    def forward(self, x: Tensor) -> Tensor:
        """Return the averaged map."""
        top, bottom = _margins(x.shape[2], self.size, self.stride[0], self.padding)
        left, right = _margins(x.shape[3], self.size, self.stride[1], self.padding)
        margins = (left, right, top, bottom)
        inside = functional.pad(torch.ones_like(x[:1, :1]), margins)
        return functional.avg_pool2d(functional.pad(x, margins), self.size, self.stride) / functional.avg_pool2d(
            inside, self.size, self.stride
        )


class GlobalAvgPool(nn.Module):
    """Mean over height and width [B, C, H, W] -> [B, C, 1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the means."""
        return x.mean((2, 3), keepdim=True)

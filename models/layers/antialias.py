"""Blur before subsampling (Zhang 2019, "Making Convolutional Networks Shift-Invariant Again"; darknet antialiasing)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

_KERNELS = {1: (1.0, 2.0, 1.0), 2: (1.0, 1.0)}


class Blur(nn.Module):
    """Blur every channel and subsample [B, C, H, W] -> [B, C, H', W'].

    Kind 1 is the 3x3 binomial kernel with a zero margin of 1; kind 2 the mean of 2x2 cells without a margin.
    """

    kernel: Tensor

    def __init__(self, kind: Literal[1, 2], stride: int | tuple[int, int]) -> None:
        super().__init__()
        taps = torch.tensor(_KERNELS[kind])
        kernel = torch.outer(taps, taps) / taps.sum() ** 2
        self.register_buffer("kernel", kernel[None, None], persistent=False)
        self.stride = stride
        self.padding = 1 if kind == 1 else 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the blurred and subsampled map."""
        channels = x.shape[1]
        kernel = self.kernel.expand(channels, -1, -1, -1)
        return functional.conv2d(x, kernel, None, self.stride, self.padding, 1, channels)


class Antialiased(nn.Module):
    """A layer that runs at stride 1 and is subsampled by a blur instead."""

    def __init__(self, layer: nn.Module, blur: Blur) -> None:
        super().__init__()
        self.layer, self.blur = layer, blur

    def forward(self, x: Tensor) -> Tensor:
        """Return the blurred output of the layer."""
        blurred: Tensor = self.blur(self.layer(x))
        return blurred

"""The convolutional recurrent layer on its first frame (darknet src/crnn_layer.c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yoloscope.models.layers.convolution import ConvBlock


class FirstFrameRecurrence(nn.Module):
    """Three convolutions with a zero state: output(input(x) + state(0)), [B, C, H, W] -> [B, filters, H, W].

    The state's convolution of zeros is not zero where it has a bias or a normalization. Later frames are not modeled:
    every image is a first frame.
    """

    def __init__(self, enter: ConvBlock, state: ConvBlock, leave: ConvBlock) -> None:
        super().__init__()
        self.enter, self.state, self.leave = enter, state, leave

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the first time step."""
        entered = self.enter(x)
        result: Tensor = self.leave(entered + self.state(torch.zeros_like(entered)))
        return result

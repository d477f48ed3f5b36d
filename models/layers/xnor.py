"""The XNOR convolution: signs of inputs times signs of weights (Rastegari et al. 2016; darknet xnor=1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from yoloscope.models.layers.convolution import ConvBlock


def sign(x: Tensor) -> Tensor:
    """Return +1 where ``x`` is positive and -1 elsewhere: zero counts as negative."""
    return torch.where(x > 0, 1.0, -1.0)


def binarized(kernels: Tensor) -> Tensor:
    """Return kernels [n, c, k, k] reduced to their sign times the mean magnitude of their filter."""
    return sign(kernels) * kernels.abs().mean((1, 2, 3), keepdim=True)


class BinaryWeightConvBlock(ConvBlock):
    """A ConvBlock whose kernels act binarized (darknet binary=1); inference only."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated feature map."""
        conv = self.conv
        kernels = binarized(conv.weight)
        x = functional.conv2d(x, kernels, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)
        return self.finish(x)


class XnorConvBlock(ConvBlock):
    """A ConvBlock whose kernels and inputs act binarized; the margin counts as -1. Inference only.

    Binarising commutes with folding the normalization into the kernels, so the weights stay as they were trained.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated feature map."""
        conv = self.conv
        vertical, horizontal = (int(margin) for margin in conv.padding)
        signs = functional.pad(sign(x), (horizontal, horizontal, vertical, vertical), value=-1.0)
        x = functional.conv2d(signs, sign(conv.weight), None, conv.stride, 0, conv.dilation, conv.groups)
        x = x * conv.weight.abs().mean((1, 2, 3))[:, None, None]
        return self.finish(x if conv.bias is None else x + conv.bias[:, None, None])

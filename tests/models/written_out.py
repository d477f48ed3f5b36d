"""A convolution block written out, and weights that show every part of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from yoloscope.models.layers.convolution import ConvBlock


def randomized(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return network.eval()


def block(x: Tensor, layer: ConvBlock, activation: str) -> Tensor:
    """Convolution, (x - mean) / sqrt(var + eps) * scale + shift, activation."""
    convolution, norm = layer.conv, layer.norm
    y = functional.conv2d(x, convolution.weight, convolution.bias, convolution.stride, convolution.padding)
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        deviation = (norm.running_var + norm.eps).sqrt()
        y = (y - norm.running_mean[:, None, None]) / deviation[:, None, None]
        y = y * norm.weight[:, None, None] + norm.bias[:, None, None]
    if activation == "mish":
        return y * torch.tanh(torch.log1p(torch.exp(y)))
    return torch.where(y > 0, y, 0.1 * y) if activation == "leaky" else y

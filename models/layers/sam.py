"""Multiplicative attention of YOLOv4 (spatial attention, made pointwise: YOLOv4 figure 5)."""

from __future__ import annotations

from torch import Tensor, nn

from yoloscope.models.layers.activations import Activation
from yoloscope.models.layers.convolution import ConvBlock


class AttentionProduct(nn.Module):
    """Activated elementwise product of a gate and a map of the same shape (darknet src/sam_layer.c)."""

    def __init__(self, activation: str = "linear") -> None:
        super().__init__()
        self.activation = Activation(activation)

    def forward(self, gate: Tensor, x: Tensor) -> Tensor:
        """Return the gated map."""
        activated: Tensor = self.activation(gate * x)
        return activated


class Sam(nn.Module):
    """The modified SAM block [B, C, H, W] -> the same shape: a logistic 1x1 convolution gates its own input."""

    def __init__(self, channels: int, *, batch_norm: bool = True) -> None:
        super().__init__()
        self.gate = ConvBlock(channels, channels, 1, batch_norm=batch_norm, activation="logistic")
        self.product = AttentionProduct()

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated map."""
        gated: Tensor = self.product(self.gate(x), x)
        return gated

"""Scaling a map by one factor per channel, or per cell (darknet src/scale_channels_layer.c; squeeze-and-excitation)."""

from __future__ import annotations

from torch import Tensor, nn

from yoloscope.models.layers.activations import Activation


class ScaleChannels(nn.Module):
    """Activated product of ``factors`` [B, C, 1, 1] or [B, 1, H, W] and a map [B, C, H, W]."""

    def __init__(self, activation: str = "linear") -> None:
        super().__init__()
        self.activation = Activation(activation)

    def forward(self, factors: Tensor, x: Tensor) -> Tensor:
        """Return the scaled map."""
        activated: Tensor = self.activation(factors * x)
        return activated

"""Residual sums (darknet's shortcut), plain or weighted per input (MiWRC: YOLOv4 2.2, EfficientDet's fast fusion)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from yoloscope.models.layers.activations import Activation
from yoloscope.models.layers.weight_block import WeightBlock

_NORMALISE_EPS = 1e-4


def fit_channels(x: Tensor, channels: int) -> Tensor:
    """Cut [B, C, H, W] to its first ``channels`` channels, or fill up with zeros: darknet's rule for unequal sums."""
    if x.shape[1] >= channels:
        return x if x.shape[1] == channels else x[:, :channels]
    return functional.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


class ResidualSum(nn.Module):
    """Activated sum of one map and others of the same height and width; the first one's channel count is kept."""

    def __init__(self, activation: str = "linear") -> None:
        super().__init__()
        self.activation = Activation(activation)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """Return the activated sum, shaped like ``x``."""
        total = x
        for other in others:
            total = total + fit_channels(other, x.shape[1])
        activated: Tensor = self.activation(total)
        return activated


class WeightedResidual(nn.Module):
    """Activated sum of maps, each with a learned and normalized weight.

    ``weights`` is [inputs, 1] (one weight per map) or [inputs, C] (one per map and channel). Normalization over the
    inputs: ``relu`` is max(w, 0) / (1e-4 + sum), ``softmax`` is exp(w - max) / (1e-4 + sum). Source: darknet
    src/blas.c ``shortcut_multilayer_cpu``.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        *,
        per_channel: bool,
        normalization: Literal["relu", "softmax"],
        activation: str = "linear",
    ) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs, channels if per_channel else 1))
        self.normalization = normalization
        self.activation = Activation(activation)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """Return the activated weighted sum, shaped like ``x``."""
        weights = self.normalized()[:, None, :, None, None]
        total = x * weights[0]
        for index, other in enumerate(others, start=1):
            total = total + fit_channels(other, x.shape[1]) * weights[index]
        activated: Tensor = self.activation(total)
        return activated

    def normalized(self) -> Tensor:
        """Return the weights [inputs, 1 or C] as they are applied."""
        if self.normalization == "relu":
            powers = torch.relu(self.weights)
        else:
            powers = torch.exp(self.weights - self.weights.amax(0, keepdim=True))
        return powers / (_NORMALISE_EPS + powers.sum(0, keepdim=True))

    def weight_blocks(self) -> tuple[WeightBlock, ...]:
        """Return the weights, map after map."""
        return (WeightBlock("weights", self.weights),)

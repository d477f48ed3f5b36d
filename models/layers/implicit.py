"""A learned constant map (YOLOR's implicit knowledge; darknet src/representation_layer.c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yoloscope.models.layers.weight_block import WeightBlock


class Implicit(nn.Module):
    """Return the learned [filters, atoms, 1] for every image, whatever the input."""

    def __init__(self, filters: int, atoms: int = 1, *, mean: float = 0.0, std: float = 0.02) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.empty(filters, atoms, 1).normal_(mean, std))

    def forward(self, x: Tensor) -> Tensor:
        """Return the constant as [B, filters, atoms, 1]; only the batch size of ``x`` is read."""
        return self.weights.unsqueeze(0).expand(x.shape[0], -1, -1, -1)

    def weight_blocks(self) -> tuple[WeightBlock, ...]:
        """Return the constant."""
        return (WeightBlock("weights", self.weights),)

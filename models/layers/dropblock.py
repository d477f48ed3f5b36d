"""DropBlock: dropping whole squares of a feature map during training (Ghiasi et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from yoloscope.models.errors import ConfigError


class DropBlock(nn.Module):
    """Drop squares of [B, C, H, W] with overall ``probability``; identity outside training.

    The side of a square is ``block_size`` cells, or ``relative_size`` of the smaller side of the map where given. What
    is kept is scaled up so that the expected sum stays (paper, algorithm 1).
    """

    def __init__(self, probability: float, block_size: int = 7, relative_size: float | None = None) -> None:
        super().__init__()
        self.probability, self.block_size, self.relative_size = probability, block_size, relative_size

    def forward(self, x: Tensor) -> Tensor:
        """Return the map with squares set to zero."""
        if not self.training or self.probability == 0:
            return x
        height, width = x.shape[2:]
        wanted = self.block_size if self.relative_size is None else round(self.relative_size * min(height, width))
        side = min(max(wanted, 1), height, width)
        places = (height - side + 1) * (width - side + 1)
        seeds = x.new_empty(*x.shape[:2], height - side + 1, width - side + 1)
        seeds.bernoulli_(min(self.probability * height * width / (side * side * places), 1.0))
        dropped = functional.max_pool2d(functional.pad(seeds, (side - 1,) * 4), side, 1)
        kept = 1 - dropped
        return x * kept * (kept.numel() / torch.clamp(kept.sum(), min=1.0))


def set_dropblock_probability(network: nn.Module, probability: float) -> int:
    """Give every ``DropBlock`` in the network this probability and return how many there are.

    Call it before each step with ``schedule.LinearRamp``.
    """
    if not 0 <= probability < 1:
        raise ConfigError(f"expected a probability in 0..1, 1 excluded, got {probability}")
    layers = [module for module in network.modules() if isinstance(module, DropBlock)]
    for layer in layers:
        layer.probability = probability
    return len(layers)

"""Spatial pyramid pooling (YOLOv3-spp, YOLOv4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from yoloscope.models.layers.pooling import MaxPool


class Spp(nn.Module):
    """Max pools of several sizes at stride 1 beside the map: [B, C, H, W] -> [B, C * (sizes + 1), H, W].

    Channel order as in darknet's cfgs: largest window first, the map itself last.
    """

    def __init__(self, sizes: Sequence[int] = (5, 9, 13)) -> None:
        super().__init__()
        self.pools = nn.ModuleList(MaxPool(size) for size in sorted(sizes, reverse=True))

    def forward(self, x: Tensor) -> Tensor:
        """Return the pyramid."""
        return torch.cat([*(pool(x) for pool in self.pools), x], 1)

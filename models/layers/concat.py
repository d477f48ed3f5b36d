"""Concatenation of feature maps along the channels, whole or by groups (darknet's route: src/route_layer.c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Concat(nn.Module):
    """Join maps [B, C_i, H, W] along the channels.

    With ``groups > 1`` every map is first cut into that many equal runs of channels, of which run ``group`` is taken.
    """

    def __init__(self, groups: int = 1, group: int = 0) -> None:
        super().__init__()
        self.groups, self.group = groups, group

    def forward(self, *maps: Tensor) -> Tensor:
        """Return the joined map."""
        parts = [self._part(x) for x in maps]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _part(self, x: Tensor) -> Tensor:
        if self.groups == 1:
            return x
        length = x.shape[1] // self.groups
        return x[:, self.group * length : (self.group + 1) * length]

    def extra_repr(self) -> str:
        """Return the grouping, for printing."""
        return f"groups={self.groups}, group={self.group}"

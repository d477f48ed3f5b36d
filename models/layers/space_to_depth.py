"""Space to depth and back, and YOLOv2's passthrough order (darknet's reorg: src/reorg_old_layer.c, reorg_layer.c)."""

from __future__ import annotations

from torch import Tensor, nn


class PassthroughReorder(nn.Module):
    """YOLOv2's passthrough [B, C, H, W] -> [B, C*s*s, H/s, W/s].

    Not a space-to-depth: the memory of the map is read as [C/s/s, H*s, W*s], that is split into s*s phases, and the
    result is read again with the new shape. C must be divisible by s*s, H and W by s.
    """

    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return the reordered map."""
        s = self.stride
        batch, channels, height, width = x.shape
        phases = x.reshape(batch, channels // (s * s), height, s, width, s).permute(0, 3, 5, 1, 2, 4)
        return phases.reshape(batch, channels * s * s, height // s, width // s)


class DepthToSpace(nn.Module):
    """Depth-to-space [B, C, H, W] -> [B, C/s/s, H*s, W*s]; the phase (dy, dx) is the slow index of the channels."""

    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return the spread map."""
        s = self.stride
        batch, channels, height, width = x.shape
        phases = x.reshape(batch, s, s, channels // (s * s), height, width).permute(0, 3, 4, 1, 5, 2)
        return phases.reshape(batch, channels // (s * s), height * s, width * s)


class SpaceToDepth(nn.Module):
    """Space-to-depth [B, C, H, W] -> [B, C*s*s, H/s, W/s]; the phase (dy, dx) is the slow index of the channels."""

    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return the gathered map."""
        s = self.stride
        batch, channels, height, width = x.shape
        phases = x.reshape(batch, channels, height // s, s, width // s, s).permute(0, 3, 5, 1, 2, 4)
        return phases.reshape(batch, channels * s * s, height // s, width // s)

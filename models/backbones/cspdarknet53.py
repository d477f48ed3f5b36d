"""CSPDarknet53, the backbone of YOLOv4 (Bochkovskiy et al. 2020), and that of YOLOv4-csp (Wang et al. 2020)."""

from __future__ import annotations

from torch import Tensor, nn

from models.backbones.darknet53 import DEPTHS
from models.layers.convolution import ConvBlock
from models.layers.csp import CspStage, Residual
from models.layers.dropblock import DropBlock


class CspDarknet53(nn.Module):
    """Pictures [B, 3, H, W] -> maps of 256, 512 and 1024 channels at strides 8, 16 and 32.

    ``partial_first`` makes the first stage partial as well, which YOLOv4 does and YOLOv4-csp does not. ``dropblock``
    is the probability with which squares of the two coarsest maps are dropped in training.
    """

    def __init__(
        self,
        *,
        activation: str = "mish",
        partial_first: bool = True,
        weighted_residuals: bool = False,
        dropblock: float = 0.0,
    ) -> None:
        super().__init__()
        self.stem = ConvBlock(3, 32, 3, activation=activation)
        first: nn.Module = (
            CspStage(32, 64, DEPTHS[0], first=True, activation=activation, weighted=weighted_residuals)
            if partial_first
            else nn.Sequential(
                ConvBlock(32, 64, 3, 2, activation=activation),
                Residual(64, 32, activation=activation, weighted=weighted_residuals),
            )
        )
        others = (
            CspStage(32 << index, 64 << index, DEPTHS[index], activation=activation, weighted=weighted_residuals)
            for index in range(1, len(DEPTHS))
        )
        self.stages = nn.ModuleList([first, *others])
        self.drop = DropBlock(dropblock)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps at strides 8, 16 and 32."""
        x = self.stem(x)
        for stage in self.stages[:2]:
            x = stage(x)
        fine = self.stages[2](x)
        middle = self.drop(self.stages[3](fine))
        return fine, middle, self.drop(self.stages[4](middle))

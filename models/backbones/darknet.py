"""The backbones of YOLOv1, v2 and v3, without their classifiers.

YoloV1Backbone has the 24 convolutions of Redmon et al. 2016, figure 3 (darknet cfg/yolov1/yolo.cfg), Darknet19 is table
6 of YOLO9000 (Redmon and Farhadi 2017), Darknet53 table 1 of YOLOv3 (2018); TinyBackbone, of the tiny YOLOv1, v2 and
v3, is 3x3 convolutions that double in width with a 2x2 max pool after each.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.layers.csp import Residual
from yoloscope.models.layers.dropblock import DropBlock
from yoloscope.models.layers.pooling import MaxPool


def _alternating(in_channels: int, filters: int, count: int) -> nn.Sequential:
    """Return ``count`` convolutions, 3x3 to ``filters`` and 1x1 to half of it in turn, beginning and ending 3x3."""
    layers = [ConvBlock(in_channels, filters, 3)]
    for index in range(1, count):
        wide = index % 2 == 0
        before, after = (filters // 2, filters) if wide else (filters, filters // 2)
        layers.append(ConvBlock(before, after, 3 if wide else 1))
    return nn.Sequential(*layers)


class Darknet19(nn.Module):
    """Images [B, C, H, W] -> ([B, 512, H/16, W/16], [B, 1024, H/32, W/32])."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            _alternating(before, after, count)
            for before, after, count in (
                (in_channels, 32, 1),
                (32, 64, 1),
                (64, 128, 3),
                (128, 256, 3),
                (256, 512, 5),
                (512, 1024, 5),
            )
        )
        self.pool = MaxPool(2, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps at strides 16 and 32."""
        maps: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            maps.append(stage(self.pool(maps[-1]) if index else x))
        return maps[-2], maps[-1]


DEPTHS = (1, 2, 8, 8, 4)


def scaled_depth(blocks: int, depth: float) -> int:
    """Return a number of residual blocks times a depth multiplier, at least 1."""
    return max(1, round(blocks * depth))


class FiveStages(nn.Module):
    """A stem and five stages that each halve the map; the last three are given, the last two through DropBlock."""

    stem: ConvBlock
    stages: nn.ModuleList
    drop: DropBlock

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps at strides 8, 16 and 32."""
        x = self.stem(x)
        for stage in self.stages[:2]:
            x = stage(x)
        fine = self.stages[2](x)
        middle = self.drop(self.stages[3](fine))
        return fine, middle, self.drop(self.stages[4](middle))


class Darknet53(FiveStages):
    """Images [B, C, H, W] -> maps of 256, 512 and 1024 channels, times ``width``, at strides 8, 16 and 32.

    ``dropblock`` is the probability with which squares of the two coarsest maps are dropped in training, ``depth``
    multiplies the number of residual blocks.
    """

    def __init__(
        self,
        *,
        activation: str = "leaky",
        weighted_residuals: bool = False,
        dropblock: float = 0.0,
        width: float = 1.0,
        depth: float = 1.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__()

        def stage(before: int, filters: int, blocks: int) -> nn.Sequential:
            residuals = (
                Residual(filters, before, activation=activation, weighted=weighted_residuals) for _ in range(blocks)
            )
            return nn.Sequential(ConvBlock(before, filters, 3, 2, activation=activation), *residuals)

        channels = [scaled(32 << index, width) for index in range(len(DEPTHS) + 1)]
        self.stem = ConvBlock(in_channels, channels[0], 3, activation=activation)
        self.stages = nn.ModuleList(
            stage(*pair, scaled_depth(blocks, depth)) for pair, blocks in zip(pairwise(channels), DEPTHS, strict=True)
        )
        self.drop = DropBlock(dropblock)


def scaled(channels: int, width: float) -> int:
    """Return a channel count times a width multiplier, as a multiple of 8."""
    return max(8, round(channels * width / 8) * 8)


class TinyBackbone(nn.Module):
    """Images [B, C, H, W] -> the maps after each convolution, before its pool; the last pool has its own stride.

    With ``widths`` of n entries the result is n + 1 maps, the last of them pooled.
    """

    def __init__(
        self, widths: Sequence[int] = (16, 32, 64, 128, 256, 512), *, last_stride: int = 1, in_channels: int = 3
    ) -> None:
        super().__init__()
        channels = (in_channels, *widths)
        self.convolutions = nn.ModuleList(ConvBlock(before, after, 3) for before, after in pairwise(channels))
        self.pools = nn.ModuleList([*(MaxPool(2, 2) for _ in widths[1:]), MaxPool(2, last_stride)])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps, finest first."""
        maps: list[Tensor] = []
        for convolution, pool in zip(self.convolutions, self.pools, strict=True):
            maps.append(convolution(x))
            x = pool(maps[-1])
        return (*maps, x)


# (filters, size, stride); None is a 2x2 max pool.
_LAYERS: tuple[tuple[int, int, int] | None, ...] = (
    (64, 7, 2),
    None,
    (192, 3, 1),
    None,
    (128, 1, 1),
    (256, 3, 1),
    (256, 1, 1),
    (512, 3, 1),
    None,
    *((256, 1, 1), (512, 3, 1)) * 4,
    (512, 1, 1),
    (1024, 3, 1),
    None,
    *((512, 1, 1), (1024, 3, 1)) * 2,
    (1024, 3, 1),
    (1024, 3, 2),
    (1024, 3, 1),
    (1024, 3, 1),
)


class YoloV1Backbone(nn.Sequential):
    """Images [B, C, H, W] -> [B, 1024, H/64, W/64]."""

    stride = 64
    channels = 1024

    def __init__(self, in_channels: int = 3) -> None:
        layers: list[nn.Module] = []
        channels = in_channels
        for layer in _LAYERS:
            if layer is None:
                layers.append(MaxPool(2, 2))
                continue
            filters, size, stride = layer
            layers.append(ConvBlock(channels, filters, size, stride))
            channels = filters
        super().__init__(*layers)

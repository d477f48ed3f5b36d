"""Convolution, optional batch normalization, activation: the block that most of every network is made of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from yoloscope.models.layers.activations import Activation
from yoloscope.models.layers.weight_block import WeightBlock, norm_blocks

BATCH_NORM_EPS = 1e-5


class ConvBlock(nn.Module):
    """Convolution [B, C, H, W] -> [B, filters, H', W'], batch normalization (eps 1e-5) or bias, activation.

    ``stride`` is one number or (vertical, horizontal). ``padding`` defaults to ``dilation * (size // 2)``, which
    keeps the size at stride 1 for odd kernels. Depthwise: ``groups == in_channels``. ``flipped`` only says that the
    .weights file holds the kernel matrix transposed. Source: darknet src/convolutional_layer.c.
    """

    def __init__(  # noqa: PLR0913 - the options of a convolution
        self,
        in_channels: int,
        filters: int,
        size: int,
        stride: int | tuple[int, int] = 1,
        *,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        batch_norm: bool = True,
        activation: str = "leaky",
        flipped: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            filters,
            size,
            stride,
            dilation * (size // 2) if padding is None else padding,
            dilation,
            groups,
            bias=not batch_norm,
        )
        self.norm = nn.BatchNorm2d(filters, eps=BATCH_NORM_EPS) if batch_norm else None
        self.activation = Activation(activation)
        self.flipped = flipped

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated feature map."""
        return self.finish(self.conv(x))

    def finish(self, x: Tensor) -> Tensor:
        """Apply normalization and activation to a convolved map."""
        activated: Tensor = self.activation(x if self.norm is None else self.norm(x))
        return activated

    def weight_blocks(self) -> tuple[WeightBlock, ...]:
        """Return biases, then scales, mean and variance where normalized, then the kernels [n, c/groups, k, k]."""
        kernels = WeightBlock("weights", self.conv.weight, transposed=self.flipped)
        if self.norm is not None:
            return WeightBlock("biases", self.norm.bias), *norm_blocks(self.norm), kernels
        assert self.conv.bias is not None
        return WeightBlock("biases", self.conv.bias), kernels


class SharedConvBlock(nn.Module):
    """A convolution with the weights and normalization of another block, but its own stride, dilation and activation.

    It owns no floats of a .weights file (darknet's ``share_index``).
    """

    def __init__(
        self, source: ConvBlock, stride: tuple[int, int], padding: int, dilation: int, groups: int, activation: str
    ) -> None:
        super().__init__()
        self.source = source
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.activation = Activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated feature map."""
        conv, norm = self.source.conv, self.source.norm
        x = functional.conv2d(x, conv.weight, conv.bias, self.stride, self.padding, self.dilation, self.groups)
        activated: Tensor = self.activation(x if norm is None else norm(x))
        return activated

    def weight_blocks(self) -> tuple[WeightBlock, ...]:
        """Return nothing: the weights belong to the source."""
        return ()

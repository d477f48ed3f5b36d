"""The partial stage and the path aggregation of YOLOv4 against their definitions, written out."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.layers.csp import CspStage, Residual
from yoloscope.models.necks.blocks import FiveConvs, Head
from yoloscope.models.necks.pan import PanHeads


def randomised(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return network.eval()


def block(x: Tensor, layer: ConvBlock, activation: str) -> Tensor:
    """Convolution, (x - mean) / sqrt(var + eps) * scale + shift, activation."""
    convolution, norm = layer.conv, layer.norm
    y = functional.conv2d(x, convolution.weight, convolution.bias, convolution.stride, convolution.padding)
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        deviation = (norm.running_var + norm.eps).sqrt()
        y = (y - norm.running_mean[:, None, None]) / deviation[:, None, None]
        y = y * norm.weight[:, None, None] + norm.bias[:, None, None]
    if activation == "mish":
        return y * torch.tanh(torch.log1p(torch.exp(y)))
    return torch.where(y > 0, y, 0.1 * y) if activation == "leaky" else y


def test_one_half_of_the_channels_passes_by_the_blocks_of_a_partial_stage() -> None:
    stage = randomised(CspStage(8, 16, 2, activation="mish"))
    assert isinstance(stage, CspStage)
    x = torch.randn(2, 8, 6, 10)
    down = block(x, stage.down, "mish")
    assert down.shape == (2, 16, 3, 5)
    deep = block(down, stage.enter, "mish")
    for residual in stage.blocks:
        assert isinstance(residual, Residual)
        deep = deep + block(block(deep, residual.squeeze, "mish"), residual.expand, "mish")
    joined = torch.cat((block(deep, stage.leave, "mish"), block(down, stage.bypass, "mish")), 1)
    assert joined.shape[1] == 8 + 8
    torch.testing.assert_close(stage(x), block(joined, stage.merge, "mish"), rtol=1e-4, atol=1e-5)


def test_path_aggregation_goes_down_and_up_again() -> None:
    width = 1 / 16
    neck = randomised(PanHeads(ConvBlock(64, 32, 1), FiveConvs, [6, 6, 6], width=width))
    assert isinstance(neck, PanHeads)
    fine, middle, coarse = torch.randn(1, 16, 8, 8), torch.randn(1, 32, 4, 4), torch.randn(1, 64, 2, 2)

    def five(x: Tensor, layers: nn.Module) -> Tensor:
        for layer in layers.children():
            assert isinstance(layer, ConvBlock)
            x = block(x, layer, "leaky")
        return x

    def twice(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def predicted(x: Tensor, head: Head) -> Tensor:
        return block(block(x, head.hidden, "leaky"), head.predict, "linear")

    top = block(coarse, neck.entrance, "leaky")  # type: ignore[arg-type]  # a ConvBlock, see above
    mid = torch.cat((block(middle, neck.middle_lateral, "leaky"), twice(block(top, neck.coarse_up.narrow, "leaky"))), 1)
    mid = five(mid, neck.middle_in)
    low = torch.cat((block(fine, neck.fine_lateral, "leaky"), twice(block(mid, neck.middle_up.narrow, "leaky"))), 1)
    low = five(low, neck.fine)
    mid = five(torch.cat((block(low, neck.fine_down, "leaky"), mid), 1), neck.middle)
    top = five(torch.cat((block(mid, neck.middle_down, "leaky"), top), 1), neck.coarse)
    expected = predicted(low, neck.fine_head), predicted(mid, neck.middle_head), predicted(top, neck.coarse_head)
    for found, wanted in zip(neck(fine, middle, coarse), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)

"""The path aggregation of YOLOv4 against its definition, written out."""

import torch
from torch import Tensor, nn

from tests.models.written_out import block, randomized
from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.necks.blocks import FiveConvs, Head
from yoloscope.models.necks.pan import PanHeads


def test_path_aggregation_goes_down_and_up_again() -> None:
    width = 1 / 16
    neck = randomized(PanHeads(ConvBlock(64, 32, 1), FiveConvs, [6, 6, 6], width=width))
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

import torch
from torch.nn import functional

from yoloscope.models.layers.convolution import ConvBlock, SharedConvBlock
from yoloscope.models.layers.crnn import FirstFrameRecurrence
from yoloscope.models.layers.sam import Sam
from yoloscope.models.layers.weight_block import weight_blocks
from yoloscope.models.layers.xnor import BinaryWeightConvBlock, XnorConvBlock, sign


def test_normalization_uses_eps_1e_5_and_darknets_block_order() -> None:
    block = ConvBlock(1, 1, 1, activation="linear").eval()
    roles = [b.role for b in block.weight_blocks()]
    assert roles == ["biases", "scales", "mean", "variance", "weights"]
    with torch.no_grad():
        for weights, value in zip(block.weight_blocks(), (0.5, 2.0, 1.0, 1e-4, 3.0), strict=True):
            weights.tensor.fill_(value)
    expected = (3.0 * 7.0 - 1.0) / (1e-4 + 1e-5) ** 0.5 * 2.0 + 0.5
    torch.testing.assert_close(block(torch.full((1, 1, 1, 1), 7.0)).item(), expected, rtol=1e-5, atol=0)


def test_bias_takes_the_place_of_normalization() -> None:
    block = ConvBlock(2, 3, 1, batch_norm=False, activation="linear")
    assert [b.role for b in block.weight_blocks()] == ["biases", "weights"]


def test_default_padding_keeps_the_size() -> None:
    x = torch.zeros(1, 4, 7, 9)
    assert ConvBlock(4, 2, 3)(x).shape == (1, 2, 7, 9)
    assert ConvBlock(4, 2, 3, dilation=2)(x).shape == (1, 2, 7, 9)
    assert ConvBlock(4, 4, 5, (1, 3), groups=4)(x).shape == (1, 4, 7, 3)


def test_shared_block_follows_its_source_and_owns_nothing() -> None:
    source = ConvBlock(3, 3, 3, activation="linear").eval()
    shared = SharedConvBlock(source, (1, 1), 1, 1, 1, "relu").eval()
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(shared(x), source(x).relu())
    assert weight_blocks(shared) == ()
    assert len(weight_blocks(torch.nn.ModuleList([source, shared]))) == 5


def test_sign_of_zero_is_negative() -> None:
    assert sign(torch.tensor([-2.0, 0.0, 3.0])).tolist() == [-1.0, -1.0, 1.0]


def test_xnor_counts_equal_signs_and_pads_with_minus_one() -> None:
    block = XnorConvBlock(1, 1, 3, batch_norm=False, activation="linear")
    with torch.no_grad():
        block.conv.weight.fill_(-0.5)
        assert block.conv.bias is not None
        block.conv.bias.fill_(0.25)
    got = block(torch.full((1, 1, 1, 1), 4.0))
    assert got.item() == 0.5 * (8 - 1) + 0.25


def test_binary_weights_keep_the_mean_magnitude_of_a_filter() -> None:
    block = BinaryWeightConvBlock(2, 1, 1, batch_norm=False, activation="linear")
    with torch.no_grad():
        block.conv.weight.copy_(torch.tensor([1.0, -3.0]).reshape(1, 2, 1, 1))
        assert block.conv.bias is not None
        block.conv.bias.zero_()
    assert block(torch.tensor([5.0, 1.0]).reshape(1, 2, 1, 1)).item() == 2 * 5 - 2 * 1


def test_recurrence_starts_from_a_zero_state_whose_convolution_is_not_zero() -> None:
    enter, state, leave = (ConvBlock(2, 2, 3, activation="linear").eval() for _ in range(3))
    with torch.no_grad():
        state.weight_blocks()[0].tensor.fill_(0.75)
    x = torch.randn(2, 2, 4, 4)
    got = FirstFrameRecurrence(enter, state, leave).eval()(x)
    torch.testing.assert_close(got, leave(enter(x) + 0.75))


def test_sam_gates_its_input_with_a_logistic() -> None:
    sam = Sam(2, batch_norm=False)
    x = torch.randn(1, 2, 3, 3)
    conv = sam.gate.conv
    torch.testing.assert_close(sam(x), functional.conv2d(x, conv.weight, conv.bias).sigmoid() * x)

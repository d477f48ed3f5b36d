import torch
from torch.nn import functional

from yoloscope.models.layers.batchnorm import BatchNorm
from yoloscope.models.layers.connected import Connected
from yoloscope.models.layers.dropblock import DropBlock
from yoloscope.models.layers.implicit import Implicit
from yoloscope.models.layers.local import LocalConv, local_length
from yoloscope.models.layers.weight_block import weight_blocks, weighted_layers


def test_local_layer_with_equal_kernels_is_a_convolution() -> None:
    local = LocalConv(2, 5, 7, 3, 3, 2, activation="linear")
    kernel = torch.randn(3, 2, 3, 3)
    with torch.no_grad():
        local.weights.copy_(kernel.flatten(1).expand_as(local.weights))
    x = torch.randn(2, 2, 5, 7)
    torch.testing.assert_close(local(x), functional.conv2d(x, kernel, stride=2))


def test_local_layer_uses_each_cells_own_kernel_and_bias() -> None:
    local = LocalConv(1, 1, 2, 1, 1, activation="linear")
    with torch.no_grad():
        local.weights.copy_(torch.tensor([2.0, 3.0]).reshape(2, 1, 1))
        local.biases.copy_(torch.tensor([10.0, 20.0]).reshape(1, 1, 2))
    assert local(torch.ones(1, 1, 1, 2)).flatten().tolist() == [12, 23]


def test_local_length_counts_as_darknet() -> None:
    assert [local_length(7, 3, 1, 1), local_length(7, 3, 1, 0), local_length(7, 3, 2, 0)] == [7, 5, 3]
    assert LocalConv(1, 7, 7, 1, 3, padding=1)(torch.zeros(1, 1, 7, 7)).shape == (1, 1, 7, 7)


def test_connected_reads_channels_then_rows_and_normalizes() -> None:
    connected = Connected(4, 1, batch_norm=True, activation="linear").eval()
    with torch.no_grad():
        connected.linear.weight.copy_(torch.tensor([[1.0, 10, 100, 1000]]))
    got = connected(torch.tensor([1.0, 2, 3, 4]).reshape(1, 2, 1, 2))
    torch.testing.assert_close(got, torch.full((1, 1, 1, 1), 4321 / (1 + 1e-5) ** 0.5))
    assert [b.role for b in connected.weight_blocks()] == ["biases", "weights", "scales", "mean", "variance"]


def test_implicit_repeats_its_constant_over_the_batch() -> None:
    implicit = Implicit(3, 2)
    got = implicit(torch.zeros(4, 9, 5, 5))
    assert got.shape == (4, 3, 2, 1)
    assert torch.equal(got[3], implicit.weights)


def test_batch_norm_layer_stores_biases_first() -> None:
    assert [b.role for b in BatchNorm(2).weight_blocks()] == ["biases", "scales", "mean", "variance"]


def test_weighted_layers_come_in_module_order() -> None:
    first, second = BatchNorm(2), Implicit(1)
    module = torch.nn.Sequential(torch.nn.Sequential(first, torch.nn.ReLU()), second)
    assert [id(layer) for layer in weighted_layers(module)] == [id(first), id(second)]
    assert len(weight_blocks(module)) == 5


def test_dropblock_is_identity_outside_training_and_without_probability() -> None:
    x = torch.ones(1, 2, 8, 8)
    assert DropBlock(0.5).eval()(x) is x
    assert DropBlock(0.0).train()(x) is x


def test_dropblock_drops_squares_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(4, 16, 24, 24)
    got = DropBlock(0.1, 3).train()(x)
    dropped = (got == 0).float()
    assert 0.05 < dropped.mean().item() < 0.15
    torch.testing.assert_close(got.mean().item(), 1.0, rtol=1e-5, atol=0)
    eroded = -functional.max_pool2d(-dropped, 3, 1)
    assert torch.equal(functional.max_pool2d(functional.pad(eroded, (2,) * 4), 3, 1), dropped)


def test_dropblock_of_relative_size_covers_a_small_map() -> None:
    torch.manual_seed(0)
    got = DropBlock(0.9, relative_size=1.0).train()(torch.ones(8, 8, 3, 3))
    assert set(got.amax((2, 3)).sub(got.amin((2, 3))).flatten().tolist()) == {0.0}

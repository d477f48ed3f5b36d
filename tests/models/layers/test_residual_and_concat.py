import torch

from yoloscope.models.layers.concat import Concat
from yoloscope.models.layers.residual import ResidualSum, WeightedResidual, fit_channels
from yoloscope.models.layers.scale_channels import ScaleChannels


def channels(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(1, -1, 1, 1)


def test_groups_are_cut_before_maps_are_joined() -> None:
    got = Concat(groups=2, group=1)(channels(1, 2, 3, 4), channels(5, 6))
    assert got.flatten().tolist() == [3, 4, 6]


def test_concat_of_one_whole_map_is_that_map() -> None:
    x = channels(1, 2)
    assert Concat()(x) is x


def test_residual_sum_adds_only_the_common_channels() -> None:
    assert ResidualSum()(channels(1, 2, 3), channels(10, 20)).flatten().tolist() == [11, 22, 3]
    assert ResidualSum()(channels(1, 2), channels(10, 20, 30)).flatten().tolist() == [11, 22]
    assert fit_channels(channels(1, 2), 2).flatten().tolist() == [1, 2]


def test_residual_sum_activates_the_sum_of_all() -> None:
    assert ResidualSum("relu")(channels(1), channels(-3), channels(1)).item() == 0


def test_relu_weights_are_normalized_per_map() -> None:
    module = WeightedResidual(2, 3, per_channel=False, normalization="relu")
    with torch.no_grad():
        module.weights.copy_(torch.tensor([[3.0], [1.0]]))
    got = module(channels(1, 1, 1), channels(5, 5, 5))
    torch.testing.assert_close(got, channels(*[(3 * 1 + 1 * 5) / 4.0001] * 3))


def test_negative_relu_weight_leaves_its_map_out() -> None:
    module = WeightedResidual(2, 1, per_channel=True, normalization="relu")
    with torch.no_grad():
        module.weights.copy_(torch.tensor([[-2.0], [1.0]]))
    torch.testing.assert_close(module(channels(100), channels(5)), channels(5 / 1.0001))


def test_softmax_weights_are_normalized_per_channel() -> None:
    module = WeightedResidual(3, 2, per_channel=True, normalization="softmax", activation="linear")
    got = module(channels(1, 2), channels(4, 5), channels(7, 8))
    torch.testing.assert_close(got, channels(12 / 3.0001, 15 / 3.0001))


def test_weight_file_order_is_map_after_map() -> None:
    module = WeightedResidual(2, 3, per_channel=True, normalization="relu")
    assert [block.tensor.shape for block in module.weight_blocks()] == [(2, 3)]


def test_scale_channels_by_channel_and_by_cell() -> None:
    x = torch.ones(1, 2, 1, 3)
    assert ScaleChannels()(channels(2, 3), x).tolist() == [[[[2, 2, 2]], [[3, 3, 3]]]]
    cells = torch.tensor([1.0, 2.0, -3.0]).reshape(1, 1, 1, 3)
    torch.testing.assert_close(ScaleChannels("leaky")(cells, x)[0, 1, 0], torch.tensor([1.0, 2.0, -0.3]))

"""Cross mini-batch normalization against the full batch and against torch's batch normalization."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from yoloscope.training.optim.cross_mini_batch_norm import (
    CrossMiniBatchNorm2d,
    finish_batch,
    with_cross_mini_batch_norm,
)


def _values(seed: int, batch: int = 8, offset: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([0.5, 2.0, 10.0])[:, None, None]
    return torch.randn(batch, 3, 5, 4, generator=generator) * scale + scale + offset


def _pair() -> tuple[nn.BatchNorm2d, CrossMiniBatchNorm2d]:
    plain = nn.BatchNorm2d(3)
    with torch.no_grad():
        plain.weight.copy_(torch.tensor([1.5, 0.5, 2.0]))
        plain.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    crossing = with_cross_mini_batch_norm(plain)
    assert isinstance(crossing, CrossMiniBatchNorm2d)
    return plain, crossing


@pytest.mark.parametrize("sizes", [(2, 2, 2, 2), (1, 3, 4), (7, 1)])
def test_the_last_mini_batch_sees_the_statistics_of_the_full_batch(sizes: tuple[int, ...]) -> None:
    plain, crossing = _pair()
    batch = _values(0, sum(sizes))
    expected = plain(batch)
    parts = torch.split(batch, list(sizes))
    outputs = [crossing(part) for part in parts]
    torch.testing.assert_close(outputs[-1], expected[-sizes[-1] :], rtol=1e-5, atol=1e-5)
    crossing.finish_batch()
    torch.testing.assert_close(crossing.running_mean, plain.running_mean)
    torch.testing.assert_close(crossing.running_var, plain.running_var)
    assert crossing.num_batches_tracked == plain.num_batches_tracked == 1


def test_every_mini_batch_sees_those_before_it() -> None:
    plain, crossing = _pair()
    parts = _values(1).chunk(4)
    for k, part in enumerate(parts):
        torch.testing.assert_close(crossing(part), plain(torch.cat(parts[: k + 1]))[-2:], rtol=1e-5, atol=1e-5)


def test_gradients_flow_through_the_present_mini_batch_alone() -> None:
    """Autograd of the textbook formula over both mini-batches, the earlier one held constant."""
    _, crossing = _pair()
    earlier, present = _values(2, 3), _values(3, 2)
    earlier = earlier.requires_grad_()
    crossing(earlier)
    x = present.clone().requires_grad_()
    upstream = torch.randn(present.shape, generator=torch.Generator().manual_seed(4))
    gradients = torch.autograd.grad((crossing(x) * upstream).sum(), (x, earlier), allow_unused=True)
    assert [gradient is None for gradient in gradients] == [False, True]
    y = present.clone().requires_grad_()
    variance, mean = torch.var_mean(torch.cat((earlier.detach(), y)), (0, 2, 3), correction=0)
    normal = (y - mean[:, None, None]) / torch.sqrt(variance + crossing.eps)[:, None, None]
    loss = (normal * crossing.weight.detach()[:, None, None] * upstream).sum()
    (expected,) = torch.autograd.grad(loss, y)
    torch.testing.assert_close(gradients[0], expected, rtol=1e-4, atol=1e-5)


def test_one_mini_batch_is_plain_batch_normalization() -> None:
    plain, crossing = _pair()
    for seed in range(3):
        a, b = _values(seed).requires_grad_(), _values(seed).requires_grad_()
        left, right = plain(a), crossing(b)
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-5)
        left.square().sum().backward()
        right.square().sum().backward()
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)
        finish_batch(crossing)
    torch.testing.assert_close(plain.weight.grad, crossing.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plain.bias.grad, crossing.bias.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plain.running_var, crossing.running_var)
    plain.eval()
    crossing.eval()
    torch.testing.assert_close(crossing(_values(9)), plain(_values(9)))


def test_statistics_are_forgotten_between_batches() -> None:
    _, crossing = _pair()
    fresh = copy.deepcopy(crossing)
    crossing(_values(0, offset=100.0))
    crossing.finish_batch()
    assert torch.equal(crossing(_values(1)), fresh(_values(1)))


def test_the_merge_is_exact_far_from_zero() -> None:
    """A naive mean of squares would lose the variance of values near 10,000 in float32."""
    crossing = CrossMiniBatchNorm2d(3, momentum=1.0)
    batch = _values(5, offset=10_000.0)
    for part in batch.chunk(4):
        crossing(part)
    crossing.finish_batch()
    expected = batch.double().var((0, 2, 3)).float()
    torch.testing.assert_close(crossing.running_var, expected, rtol=1e-3, atol=0)


def test_evaluation_neither_accumulates_nor_changes() -> None:
    _, crossing = _pair()
    crossing.eval()
    before = copy.deepcopy(crossing.state_dict())
    crossing(_values(0))
    crossing.finish_batch()
    assert all(torch.equal(before[name], tensor) for name, tensor in crossing.state_dict().items())


def test_conversion_reaches_every_layer_and_keeps_names_and_the_argument() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), nn.BatchNorm2d(3))
    converted = with_cross_mini_batch_norm(network)
    kinds = [type(module) for module in converted.modules() if isinstance(module, nn.BatchNorm2d)]
    assert kinds == [CrossMiniBatchNorm2d] * 2
    assert type(network[2]) is nn.BatchNorm2d
    assert list(converted.state_dict()) == list(network.state_dict())
    converted(torch.rand(2, 3, 4, 4))
    finish_batch(converted)
    assert converted.state_dict()["2.num_batches_tracked"] == 1


def test_a_shared_layer_stays_shared() -> None:
    norm = nn.BatchNorm2d(3)
    converted = with_cross_mini_batch_norm(nn.Sequential(nn.Sequential(norm), nn.Sequential(norm)))
    assert len([m for m in converted.modules() if isinstance(m, CrossMiniBatchNorm2d)]) == 1


@pytest.mark.parametrize("options", [{"affine": False}, {"track_running_stats": False}, {"momentum": None}])
def test_unusual_layers_convert_and_agree(options: dict[str, bool | None]) -> None:
    plain = nn.BatchNorm2d(3, **options)  # type: ignore[arg-type]
    crossing = with_cross_mini_batch_norm(plain)
    for seed in range(3):
        torch.testing.assert_close(crossing(_values(seed)), plain(_values(seed)), rtol=1e-5, atol=1e-5)
        finish_batch(crossing)
    plain.eval()
    crossing.eval()
    torch.testing.assert_close(crossing(_values(9)), plain(_values(9)), rtol=1e-5, atol=1e-5)


def test_half_precision_input_gives_half_precision_output() -> None:
    crossing = CrossMiniBatchNorm2d(3)
    assert crossing(_values(0).bfloat16()).dtype == torch.bfloat16

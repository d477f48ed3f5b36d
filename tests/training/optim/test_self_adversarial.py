"""Self-adversarial training: bounded, uphill, and without a trace in the network."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from yoloscope.models.errors import ConfigError
from yoloscope.training.optim.cross_mini_batch_norm import with_cross_mini_batch_norm
from yoloscope.training.optim.self_adversarial import self_adversarial

EPSILON = 0.02


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 3))
    layers[3].requires_grad_(requires_grad=False)
    layers[2].eval()
    return layers


def _images() -> Tensor:
    images = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    images[0, :, 0] = 0.0
    images[1, :, 0] = 1.0
    return images


def test_one_linear_step_by_hand() -> None:
    """Loss = sum of w x: the sign of w moves each value, the bounds 0 and 1 and a zero weight stop it."""
    weights = torch.tensor([1.0, -1.0, 0.0, 2.0, -2.0])
    images = torch.tensor([0.5, 0.5, 0.5, 0.99, 0.01])
    got = self_adversarial(images, lambda x: (x * weights).sum(), nn.Identity(), EPSILON)
    torch.testing.assert_close(got, torch.tensor([0.52, 0.48, 0.5, 1.0, 0.0]))


def test_the_change_is_bounded_and_the_loss_grows(network: nn.Module) -> None:
    images = _images()
    network.eval()

    def loss(x: Tensor) -> Tensor:
        return network(x).square().sum()  # type: ignore[no-any-return]

    attacked = self_adversarial(images, loss, network, EPSILON)
    assert (attacked - images).abs().max() <= EPSILON + 1e-7
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert loss(attacked) > loss(images)
    assert not attacked.requires_grad


def test_nothing_leaks_into_the_network(network: nn.Module) -> None:
    network[0].weight.grad = torch.full_like(network[0].weight, 7.0)  # type: ignore[index]
    converted = with_cross_mini_batch_norm(network)
    for subject in (network, converted):
        state = copy.deepcopy(subject.state_dict())
        gradients = [copy.deepcopy(p.grad) for p in subject.parameters()]
        flags = [p.requires_grad for p in subject.parameters()]
        modes = [m.training for m in subject.modules()]
        self_adversarial(_images(), lambda x, net=subject: net(x).sum(), subject, EPSILON)  # type: ignore[misc]
        assert all(torch.equal(state[name], tensor) for name, tensor in subject.state_dict().items())
        for before, parameter in zip(gradients, subject.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, before, rtol=0, atol=0)
        assert [p.requires_grad for p in subject.parameters()] == flags
        assert [m.training for m in subject.modules()] == modes
        assert all(getattr(m, "_mean", None) is None for m in subject.modules())


def test_flags_and_modes_return_after_an_error(network: nn.Module) -> None:
    flags = [p.requires_grad for p in network.parameters()]
    modes = [m.training for m in network.modules()]

    def fail(_: Tensor) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        self_adversarial(_images(), fail, network)
    assert [p.requires_grad for p in network.parameters()] == flags
    assert [m.training for m in network.modules()] == modes


def test_the_images_are_left_alone(network: nn.Module) -> None:
    images = _images()
    before = images.clone()
    attacked = self_adversarial(images, lambda x: network(x).sum(), network)
    assert torch.equal(images, before)
    assert attacked.data_ptr() != images.data_ptr()


def test_a_gradient_that_is_not_finite_moves_nothing() -> None:
    images = torch.tensor([0.0, 0.5])
    got = self_adversarial(images, lambda x: (x - 0.0).sqrt().sum() * torch.tensor(float("nan")), nn.Identity())
    assert torch.equal(got, images)


def test_it_works_where_gradients_are_off() -> None:
    with torch.no_grad():
        got = self_adversarial(torch.tensor([0.5]), lambda x: x.sum(), nn.Identity(), EPSILON)
    assert got.item() == pytest.approx(0.52)


def test_epsilon_zero_is_the_identity_and_a_negative_one_is_refused() -> None:
    images = _images()
    assert torch.equal(self_adversarial(images, lambda x: x.sum(), nn.Identity(), 0), images)
    with pytest.raises(ConfigError, match=r"got -0.1"):
        self_adversarial(images, lambda x: x.sum(), nn.Identity(), -0.1)

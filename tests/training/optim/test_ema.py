"""The weight average against its recurrence."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from yoloscope.models.errors import ConfigError
from yoloscope.training.optim.ema import WeightAverage


class _Scalar(nn.Module):
    """One weight and a floating and a counting buffer."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(value)))
        self.register_buffer("statistic", torch.tensor(float(value)))
        self.register_buffer("count", torch.tensor(int(value)))

    def set(self, value: float) -> None:
        with torch.no_grad():
            for tensor in (self.weight, self.statistic, self.count):
                assert isinstance(tensor, torch.Tensor)
                tensor.fill_(value)


def test_the_recurrence_by_hand() -> None:
    """Decays 2/11, 3/12, 4/13 of the warm-up after a start at 0 and values 1, 2, 3.

    9/11 * 1 = 9/11; 1/4 * 9/11 + 3/4 * 2 = 75/44; 4/13 * 75/44 + 9/13 * 3 = 372/143.
    """
    network = _Scalar(0)
    average = WeightAverage(network)
    for value, expected in ((1.0, 9 / 11), (2.0, 75 / 44), (3.0, 372 / 143)):
        network.set(value)
        average.update(network)
        assert average.average.weight.item() == pytest.approx(expected)  # type: ignore[operator]
        assert average.average.statistic.item() == pytest.approx(expected)  # type: ignore[operator]
        assert average.average.count.item() == value  # type: ignore[operator]


def test_the_decay_climbs_to_its_end() -> None:
    average = WeightAverage(_Scalar(0), decay=0.99)
    assert average.decay_at(1) == pytest.approx(2 / 11)
    assert average.decay_at(10_000) == 0.99
    assert WeightAverage(_Scalar(0), decay=0).decay_at(5) == 0


def test_a_constant_network_is_its_own_average() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    average = WeightAverage(network)
    for _ in range(5):
        average.update(network)
    for name, tensor in average.average.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


def test_the_network_is_neither_shared_nor_changed() -> None:
    network = _Scalar(1)
    average = WeightAverage(network)
    network.set(5)
    assert average.average.weight.item() == 1  # type: ignore[operator]
    average.update(network)
    assert network.weight.item() == 5
    assert network.training
    assert network.weight.requires_grad
    assert not average.average.training
    assert not any(parameter.requires_grad for parameter in average.average.parameters())


def test_a_shared_tensor_moves_once() -> None:
    first = nn.Linear(2, 2)
    network = nn.ModuleList([first, nn.Sequential(first)])
    average = WeightAverage(network, decay=0.5, warmup=1)
    before = first.weight.detach().clone()
    with torch.no_grad():
        first.weight.add_(1)
    average.update(network)
    copies = [module for module in average.average.modules() if isinstance(module, nn.Linear)]
    assert len(copies) == 1
    torch.testing.assert_close(copies[0].weight, before + 0.5)


def test_resuming_continues_bit_for_bit() -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 3)
    straight, stopped = WeightAverage(network), WeightAverage(network)
    values = torch.rand(6, 3, 3)
    for value in values[:3]:
        network.weight.data = value
        straight.update(network)
        stopped.update(network)
    resumed = WeightAverage(nn.Linear(3, 3))
    resumed.load_state_dict(stopped.state_dict())
    for value in values[3:]:
        network.weight.data = value
        straight.update(network)
        resumed.update(network)
    assert resumed.num_updates == 6
    for name, tensor in straight.average.state_dict().items():
        assert torch.equal(tensor, resumed.average.state_dict()[name])


@pytest.mark.parametrize("options", [(1.0, 10), (-0.1, 10), (0.9, 0.5)])
def test_impossible_decays_are_refused(options: tuple[float, float]) -> None:
    with pytest.raises(ConfigError):
        WeightAverage(nn.Linear(1, 1), *options)

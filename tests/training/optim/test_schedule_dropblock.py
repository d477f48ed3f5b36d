"""The probability of DropBlock during training."""

from __future__ import annotations

import pytest
from torch import nn

from yoloscope.models.errors import ConfigError
from yoloscope.models.layers.dropblock import DropBlock, set_dropblock_probability
from yoloscope.training.optim.schedule import LinearRamp


def test_every_layer_gets_the_scheduled_probability() -> None:
    network = nn.Sequential(DropBlock(0.5), nn.Sequential(DropBlock(0.3), nn.ReLU()))
    assert set_dropblock_probability(network, LinearRamp(0.1, 10)(5)) == 2
    assert [m.probability for m in network.modules() if isinstance(m, DropBlock)] == [0.05, 0.05]
    assert set_dropblock_probability(nn.ReLU(), 0.1) == 0


def test_an_impossible_probability_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"got 1.0"):
        set_dropblock_probability(DropBlock(0.1), 1.0)

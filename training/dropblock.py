"""Setting the probability of every DropBlock of a network while it trains."""

from __future__ import annotations

from torch import nn

from models.errors import ConfigError
from models.layers.dropblock import DropBlock


def set_dropblock_probability(network: nn.Module, probability: float) -> int:
    """Give every ``DropBlock`` in the network this probability and return how many there are.

    Call it before each step with ``schedule.LinearRamp``.
    """
    if not 0 <= probability < 1:
        raise ConfigError(f"expected a probability in 0..1, 1 excluded, got {probability}")
    layers = [module for module in network.modules() if isinstance(module, DropBlock)]
    for layer in layers:
        layer.probability = probability
    return len(layers)

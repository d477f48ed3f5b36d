"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from yoloscope.models.errors import ConfigError


class WeightAverage:
    """A copy of a network whose weights trail those in training; evaluation and export take ``average``.

    After its n-th update the average is ``d * average + (1 - d) * network`` with ``d = min(decay, (1 + n) /
    (warmup + n))``, so that the random start is forgotten soon. Floating buffers (running statistics) are averaged
    as the weights are; other buffers are copied. Tensors shared inside the network stay shared.

    Source: TensorFlow's ExponentialMovingAverage (``num_updates``); decay .9998 is that of yolov4-csp.cfg.
    """

    def __init__(self, network: nn.Module, decay: float = 0.9998, warmup: float = 10.0) -> None:
        if not 0 <= decay < 1 or warmup < 1:
            raise ConfigError(f"expected decay in 0..1, 1 excluded, and warmup >= 1, got {decay} and {warmup}")
        self.decay, self.warmup, self.num_updates = decay, warmup, 0
        self.average = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)

    def decay_at(self, update: int) -> float:
        """Return the weight that the average keeps at its ``update``-th update, counted from 1."""
        return min(self.decay, (1 + update) / (self.warmup + update))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network; to be called after every optimizer step."""
        self.num_updates += 1
        gain = 1 - self.decay_at(self.num_updates)
        for averaged, value in zip(_tensors(self.average), _tensors(network), strict=True):
            if averaged.is_floating_point():
                averaged.lerp_(value.to(averaged), gain)
            else:
                averaged.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {"num_updates": self.num_updates, "average": self.average.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` returned, for a network of the same structure."""
        self.average.load_state_dict(state["average"])
        self.num_updates = int(state["num_updates"])


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    """Return parameters and buffers in the order of the modules, each shared tensor once."""
    return [*network.parameters(), *network.buffers()]

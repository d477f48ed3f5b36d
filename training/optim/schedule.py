"""Learning rates and the DropBlock probability as functions of the optimizer step, counted from 0.

A step is one optimizer batch, however many mini-batches it was accumulated from.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from yoloscope.models.errors import ConfigError


def warmup_factor(step: int, warmup_steps: int, power: float = 4.0) -> float:
    """Return the share (step / warmup_steps)^power of the rate during warmup, 1 from step ``warmup_steps`` on.

    Source: darknet src/network.c, get_current_rate.
    """
    return (step / warmup_steps) ** power if step < warmup_steps else 1.0


@dataclass(frozen=True)
class StepSchedule:
    """A constant rate, multiplied by ``scales[i]`` from step ``steps[i]`` on, after a warmup.

    Steps may coincide, as shares of a short run do: then all their scales count.

    Defaults are those of yolov4.cfg. Source: darknet src/network.c, get_current_rate (``policy=steps``).
    """

    rate: float = 0.0013
    steps: tuple[int, ...] = (400_000, 450_000)
    scales: tuple[float, ...] = (0.1, 0.1)
    warmup_steps: int = 1000
    power: float = 4.0

    def __post_init__(self) -> None:
        _check_rate(self.rate, self.warmup_steps)
        if len(self.steps) != len(self.scales) or any(a > b for a, b in itertools.pairwise(self.steps)):
            raise ConfigError(
                f"expected ascending steps and as many scales, got steps {self.steps} and scales {self.scales}"
            )

    def __call__(self, step: int) -> float:
        """Return the learning rate of one step."""
        if step < self.warmup_steps:
            return self.rate * warmup_factor(step, self.warmup_steps, self.power)
        reached = (scale for start, scale in zip(self.steps, self.scales, strict=True) if step >= start)
        return self.rate * math.prod(reached)


@dataclass(frozen=True)
class CosineRestarts:
    """Cosine annealing with warm restarts (SGDR), after a warmup.

    Within a cycle of T steps, t steps after its start, the rate is
    ``minimum + (rate - minimum) / 2 * (1 + cos(pi * t / T))``. The first cycle takes ``cycle_steps``, each next one
    ``multiplier`` times the last; with ``cycle_steps`` equal to the whole training there is no restart. Cycles are
    counted from step 0, as darknet does; the warmup replaces the start of the first.

    Source: Loshchilov and Hutter, SGDR, 2017, equation 5; darknet ``policy=sgdr``.
    """

    rate: float
    cycle_steps: int
    multiplier: int = 2
    minimum: float = 0.00001
    warmup_steps: int = 0
    power: float = 4.0

    def __post_init__(self) -> None:
        _check_rate(self.rate, self.warmup_steps)
        if self.cycle_steps < 1 or self.multiplier < 1:
            raise ConfigError(
                f"expected cycle_steps >= 1 and multiplier >= 1, got {self.cycle_steps} and {self.multiplier}"
            )
        if not 0 <= self.minimum <= self.rate:
            raise ConfigError(f"expected minimum in 0..rate, got {self.minimum} and rate {self.rate}")

    def __call__(self, step: int) -> float:
        """Return the learning rate of one step."""
        if step < self.warmup_steps:
            return self.rate * warmup_factor(step, self.warmup_steps, self.power)
        since_restart, length = self.position(step)
        return self.minimum + (self.rate - self.minimum) / 2 * (1 + math.cos(math.pi * since_restart / length))

    def position(self, step: int) -> tuple[int, int]:
        """Return the steps since the last restart and the length of the cycle."""
        if self.multiplier == 1:
            return step % self.cycle_steps, self.cycle_steps
        length = self.cycle_steps
        while step >= length:
            step -= length
            length *= self.multiplier
        return step, length


@dataclass(frozen=True)
class LinearRamp:
    """Goes from 0 at step 0 to ``final`` at ``total_steps`` and stays: the probability of DropBlock during training.

    Source: Ghiasi et al., DropBlock, 2018, section 3.3 (a linear schedule of keep_prob from 1 down to its target).
    """

    final: float
    total_steps: int

    def __post_init__(self) -> None:
        if not 0 <= self.final < 1 or self.total_steps < 1:
            raise ConfigError(f"expected final in 0..1 and total_steps >= 1, got {self.final} and {self.total_steps}")

    def __call__(self, step: int) -> float:
        """Return the value at one step."""
        return self.final * min(step / self.total_steps, 1.0)


def _check_rate(rate: float, warmup_steps: int) -> None:
    if rate <= 0 or warmup_steps < 0:
        raise ConfigError(f"expected rate > 0 and warmup_steps >= 0, got {rate} and {warmup_steps}")

"""Milliseconds per picture, summarised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.prediction import Timed


@dataclass(frozen=True)
class StageTime:
    """Milliseconds per picture of one stage."""

    mean_ms: float
    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, values_ms: NDArray[np.float64]) -> StageTime:
        """Summarise the times of at least one picture."""
        return cls(float(values_ms.mean()), float(np.median(values_ms)), float(np.percentile(values_ms, 95)))


@dataclass(frozen=True)
class Speed:
    """Where the time goes: reading and decoding the file, placing it, the network with decoding and suppression."""

    read: StageTime
    place: StageTime
    network: StageTime
    total: StageTime

    @property
    def pictures_per_second(self) -> float:
        """Pictures in a second, one after another."""
        return 1e3 / self.total.mean_ms


def summarise_speed(timed: Sequence[Timed]) -> Speed:
    """Return the times of at least one picture, summarised."""
    columns = np.array([(one.read_ms, one.place_ms, one.network_ms) for one in timed], np.float64)
    read, place, network = (StageTime.of(columns[:, stage]) for stage in range(3))
    return Speed(read, place, network, StageTime.of(columns.sum(axis=1)))

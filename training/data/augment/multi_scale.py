"""Multi-scale training: another input size every few batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yoloscope.models.errors import ConfigError


@dataclass(frozen=True)
class TrainingShapes:
    """Draws an input size that changes every ``every`` steps, uniform over the multiples of ``multiple`` in a range.

    The range is ``width / factor`` .. ``width * factor``, its ends rounded to multiples; the height follows in the same
    proportion. The size is a function of ``seed`` and step alone, so that all ranks and a resumed run agree. Factor 1
    always gives the base size.

    Source: Redmon and Farhadi, YOLO9000, 2017, section 3 (every 10 batches, multiples of 32); darknet ``random=1`` is
    factor 1.4.
    """

    width: int
    height: int
    factor: float = 1.4
    every: int = 10
    multiple: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.multiple < 1 or self.width % self.multiple or self.height % self.multiple or not self.width:
            raise ConfigError(f"expected a base size in multiples of {self.multiple}, got {self.width} x {self.height}")
        if self.factor < 1 or self.every < 1:
            raise ConfigError(f"expected factor >= 1 and every >= 1, got {self.factor} and {self.every}")

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Every size that can come up, as (width, height), ascending."""
        columns = self.width // self.multiple
        low, high = max(1, round(columns / self.factor)), round(columns * self.factor)
        rows_per_column = self.height / self.width
        return tuple(
            (n * self.multiple, max(1, round(n * rows_per_column)) * self.multiple) for n in range(low, high + 1)
        )

    def size_at(self, step: int) -> tuple[int, int]:
        """Return (width, height) of the batch of an optimizer step."""
        sizes = self.sizes
        generator = np.random.default_rng((self.seed, step // self.every))
        return sizes[int(generator.integers(len(sizes)))]

"""How far AP would move with other pictures of the same kind: the bootstrap over pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.evaluation.coco import evaluate_coco
from training.evaluation.structures import EvaluatedImage


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of a number over ``resamples`` draws that hold an object, and its standard deviation."""

    low: float
    high: float
    deviation: float
    resamples: int


def bootstrap(images: Sequence[EvaluatedImage], num_classes: int, resamples: int, seed: int = 0) -> dict[str, Interval]:
    """Return the intervals of AP and AP50: as many pictures are drawn with replacement, ``resamples`` times.

    Draws of pictures without any object have no AP and are left out; where fewer than two have one there is no
    interval. Source: Efron 1979, the percentile interval.
    """
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        chosen = generator.integers(len(images), size=len(images))
        drawn = [replace(images[index], image_id=number) for number, index in enumerate(chosen.tolist(), start=1)]
        numbers = evaluate_coco(drawn, num_classes).numbers
        if numbers["AP"] >= 0:
            draws.append((numbers["AP"], numbers["AP50"]))
    if len(draws) < 2:
        return {}
    found = np.array(draws)
    low, high = np.percentile(found, (2.5, 97.5), axis=0)
    deviation = found.std(axis=0, ddof=1)
    return {
        name: Interval(float(low[column]), float(high[column]), float(deviation[column]), len(draws))
        for column, name in enumerate(("AP", "AP50"))
    }

"""Average precision, AUROC and pooled precision of ranked suspicions, and bootstrap intervals over images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranked:
    """Suspicions of one kind: score, hit and image index [n] each; ``missed`` int [m]: images of errors not listed."""

    scores: Floats
    hits: NDArray[np.bool_]
    image: NDArray[np.int64]
    missed: NDArray[np.int64]

    @property
    def num_errors(self) -> int:
        """Number of errors there are."""
        return int(self.hits.sum()) + len(self.missed)

    def resample(self, counts: NDArray[np.int64]) -> Ranked:
        """Return the suspicions of resampled images; ``counts`` [images] is how often each was drawn."""
        times = counts[self.image]
        return Ranked(
            self.scores.repeat(times),
            self.hits.repeat(times),
            self.image.repeat(times),
            self.missed.repeat(counts[self.missed]),
        )


def average_precision(ranked: Ranked) -> float:
    """Return the mean of the precisions at the errors' ranks, 0 for those not listed.

    Equal scores form one step: each of their hits has the precision at the end of the tie.
    """
    if not ranked.num_errors:
        return float("nan")
    order = np.argsort(-ranked.scores, kind="stable")
    scores, hits = ranked.scores[order], ranked.hits[order]
    if not len(hits):
        return 0.0
    last = np.append(scores[1:] != scores[:-1], True)
    ends = np.flatnonzero(last)
    found = np.cumsum(hits)[ends]
    precision = found / (ends + 1)
    gained = np.diff(found, prepend=0)
    return float((precision * gained).sum() / ranked.num_errors)


def auroc(ranked: Ranked) -> float:
    """Return the probability that an error scores above a sound label; ties count half, unlisted errors are last."""
    sound = ranked.scores[~ranked.hits]
    wrong = np.append(ranked.scores[ranked.hits], np.full(len(ranked.missed), -np.inf))
    if not len(sound) or not len(wrong):
        return float("nan")
    ordered = np.sort(sound)
    below = np.searchsorted(ordered, wrong, "left")
    not_above = np.searchsorted(ordered, wrong, "right")
    return float((below + not_above).mean() / 2 / len(sound))


def recall(ranked: Ranked) -> float:
    """Return the share of errors that are listed at all."""
    return float(ranked.hits.sum() / max(ranked.num_errors, 1))


def precision_at(ranked: Ranked, count: int) -> float:
    """Return the share of hits among the first ``count``."""
    order = np.argsort(-ranked.scores, kind="stable")[:count]
    return float(ranked.hits[order].sum() / count) if count else float("nan")


def recall_at(ranked: Ranked, count: int) -> float:
    """Return the share of all errors among the first ``count``."""
    order = np.argsort(-ranked.scores, kind="stable")[:count]
    return float(ranked.hits[order].sum() / max(ranked.num_errors, 1))


def pooled(kinds: Sequence[Ranked]) -> Ranked:
    """Return the suspicions of all kinds in one list."""
    return Ranked(*(np.concatenate(column) for column in zip(*(_columns(kind) for kind in kinds), strict=True)))


def _columns(ranked: Ranked) -> tuple[NDArray[np.generic], ...]:
    return ranked.scores, ranked.hits, ranked.image, ranked.missed


def interval(
    measure: Callable[[Sequence[Ranked]], float],
    ranked: Sequence[Ranked],
    num_images: int,
    resamples: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval over images of a measure of several lists (paired: the same draws)."""
    random = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        counts = np.bincount(random.integers(num_images, size=num_images), minlength=num_images)
        values.append(measure([one.resample(counts) for one in ranked]))
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)

"""Prevalence of label errors: the share of labels taken for wrong in one way, as it is stated and where it is not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from yoloscope.models.errors import ConfigError
from yoloscope.training.diagnostics.findings import KINDS, FindingKind

DEFAULT_PREVALENCE: Final = 0.03
"""Share of labels that are wrong in one way, where nothing else is stated."""
PREVALENCE_BOUNDS: Final = (1e-4, 0.9)


def parse_prevalence(texts: Iterable[str]) -> dict[FindingKind, float]:
    """Return the shares of errors that texts as ``missing=.1`` state; raises ConfigError where one does not."""
    shares: dict[FindingKind, float] = {}
    for text in texts:
        name, _, share = text.partition("=")
        kind = next((kind for kind in KINDS if kind == name), None)
        try:
            value = float(share)
        except ValueError:
            value = None
        low, high = PREVALENCE_BOUNDS
        if kind is not None and value is not None and not low <= value <= high:
            raise ConfigError(f"expected a share of {low:g} to {high:g}, got {text!r}")
        if kind is None or value is None:
            raise ConfigError(f"expected KIND=SHARE with a kind of {', '.join(KINDS)}, got {text!r}")
        shares[kind] = value
    return shares

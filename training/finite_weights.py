"""Whether a network can be gone on with."""

from __future__ import annotations

from torch import nn


def first_not_finite(network: nn.Module) -> str | None:
    """Return the name of the first weight or running statistic that is not finite, or None where all are."""
    for name, value in network.state_dict().items():
        if not bool(value.isfinite().all()):
            return name
    return None

"""Facts about data-dependent sizes, for the exporter."""

from __future__ import annotations

from collections.abc import Callable

import torch


def state(fact: bool) -> None:  # noqa: FBT001 - a comparison of sizes, symbolic where the graph is being exported
    """Tell the exporter what it cannot derive; raise RuntimeError in eager where it does not hold."""
    check: Callable[[bool], None] = torch._check  # noqa: SLF001 - documented API in spite of its name
    check(fact)

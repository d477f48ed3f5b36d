"""YOLO losses v1 to v4 behind one call, with a report by term, scale, image, object and cell.

Each name is imported when it is first used, so that ``names`` can be had without PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yoloscope.training.losses.compute import compute_loss, get_preset
    from yoloscope.training.losses.presets import PRESETS, LossPreset
    from yoloscope.training.losses.presets.formula import FormulaPreset, Weights
    from yoloscope.training.losses.report import LossReport

__all__ = ["PRESETS", "FormulaPreset", "LossPreset", "LossReport", "Weights", "compute_loss", "get_preset"]

_HOMES = {
    "PRESETS": "yoloscope.training.losses.presets",
    "FormulaPreset": "yoloscope.training.losses.presets.formula",
    "LossPreset": "yoloscope.training.losses.presets",
    "LossReport": "yoloscope.training.losses.report",
    "Weights": "yoloscope.training.losses.presets.formula",
    "compute_loss": "yoloscope.training.losses.compute",
    "get_preset": "yoloscope.training.losses.compute",
}


def __getattr__(name: str) -> object:
    """Import a name of the public interface on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

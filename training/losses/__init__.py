"""The losses of YOLOv1 to v4 behind one call, with an account of what every term, scale and object costs."""

from training.losses.compute import compute_loss
from training.losses.preset import Preset, Weights
from training.losses.presets import PRESETS, AnyPreset
from training.losses.report import LossReport
from training.losses.resolve import resolve_preset

__all__ = ["PRESETS", "AnyPreset", "LossReport", "Preset", "Weights", "compute_loss", "resolve_preset"]

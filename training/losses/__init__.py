"""The losses of YOLOv1 to v4 behind one call, with an account of what every term, scale and object costs."""

from yoloscope.training.losses.compute import compute_loss
from yoloscope.training.losses.presets.base import Preset, Weights
from yoloscope.training.losses.presets.registry import PRESETS, AnyPreset, resolve_preset
from yoloscope.training.losses.report import LossReport

__all__ = ["PRESETS", "AnyPreset", "LossReport", "Preset", "Weights", "compute_loss", "resolve_preset"]

"""YOLO losses v1 to v4 behind one call, with a report by term, scale, image, object and cell."""

from yoloscope.training.losses.compute import compute_loss, get_preset
from yoloscope.training.losses.presets import PRESETS, LossPreset
from yoloscope.training.losses.presets.formula import FormulaPreset, Weights
from yoloscope.training.losses.report import LossReport

__all__ = ["PRESETS", "FormulaPreset", "LossPreset", "LossReport", "Weights", "compute_loss", "get_preset"]

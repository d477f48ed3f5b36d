"""Darknet weights to the artefact. Takes much memory: the commands call it, the service never does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.darknet.builder import build_network
from models.darknet.weights import load_weights
from models.registry import build
from models.zoo import OfficialWeights
from training.export.onnx import ParityReport, export_onnx

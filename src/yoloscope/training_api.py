"""Python interface to what makes a model: train and export."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from yoloscope.app.commands.export import open_source
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import load_settings
from yoloscope.models.errors import ConfigError
from yoloscope.training.config import TrainingConfig
from yoloscope.training.export.artifact import read_artifact, write_artifact
from yoloscope.training.export.precision import make_fp16, make_int8
from yoloscope.training.export.quantization.ranges import find_calibration

if TYPE_CHECKING:
    from yoloscope.training.train import TrainResult

Precision = Literal["fp32", "fp16", "int8"]
_CALIBRATION_IMAGES: Final = 64


def train(
    data: str | Path, output: str | Path, *, config: TrainingConfig | Mapping[str, Any] | None = None, **changes: object
) -> TrainResult:
    """Train a network on a labeled data set and write checkpoints and ``model.onnx`` into the folder ``output``.

    ``config`` is a configuration or its keys (docs/training.md), ``changes`` replace top-level keys: ``epochs=20``. A
    line per epoch is logged (``logging.basicConfig(level="INFO")`` shows it). Raises YoloscopeError, and
    ModuleNotFoundError without the extra ``train`` (``pip install 'yoloscope[train]'``).
    """
    from yoloscope.training.train import train as train_detector  # noqa: PLC0415 (the extra)

    chosen = config if isinstance(config, TrainingConfig) else TrainingConfig.parse(dict(config or {}), "config")
    return train_detector(chosen.replace(**changes), Path(data), Path(output))


def export(
    source: str | Path, output: str | Path, *, precision: Precision = "fp32", data: str | Path | None = None
) -> Path:
    """Write a model, checkpoint or run as one ONNX file in full, half or 8-bit precision, and return its path.

    ``data`` are images for the calibration of ``int8``. Raises ExportError or ConfigError.
    """
    target = Path(output)
    if (precision == "int8") != (data is not None):
        raise ConfigError(f"data: expected images for int8 and none for other precisions, got {data} for {precision}")
    with tempfile.TemporaryDirectory() as scratch:
        path = open_source(load_settings(model=str(source)), Path(scratch))
        if data is not None:
            changed, _ = make_int8(path, find_calibration(Path(data), None, _CALIBRATION_IMAGES))
        else:
            changed = make_fp16(path) if precision == "fp16" else read_artifact(path)[0]
        write_artifact(changed, target, lambda written: Runtime(written, "cpu", 1).warm_up())
    return target

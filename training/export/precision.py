"""Artefacts in fp16 and int8, made from one in float32."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx

from models.spec import DetectorSpec, PrecisionSpec
from training.export.artefact import read_artefact, with_spec
from training.export.calibration import CalibrationPictures, network_inputs
from training.export.half import convert_to_half
from training.export.int8 import Int8Network, Int8Settings, Progress, quantize_to_int8
from training.export.network_part import put_network, take_network
from training.export.quantize import require_float32


def make_fp16(path: Path) -> onnx.ModelProto:
    """Return the artefact at ``path`` with its network in half precision; decoding and suppression stay in float32.

    Raises ExportError where the file is no artefact or not in float32.
    """
    model, spec = read_artefact(path)
    network = take_network(model)
    require_float32(network)
    precision = PrecisionSpec(kind="fp16", made_from=_sha256(path))
    return _assemble(model, convert_to_half(network), spec, precision)


def make_int8(
    path: Path,
    calibration: CalibrationPictures,
    settings: Int8Settings | None = None,
    progress: Progress | None = None,
) -> tuple[onnx.ModelProto, Int8Network]:
    """Return the artefact at ``path`` with its network in 8 bits, and how that came about (see ``quantize_to_int8``).

    Raises ExportError where the file is no artefact or not in float32, ImageDecodeError at a picture that cannot be
    read.
    """
    model, spec = read_artefact(path)
    network = take_network(model)
    require_float32(network)
    made = quantize_to_int8(
        network, spec, network_inputs(calibration.levels(spec)), settings or Int8Settings(), progress
    )
    precision = PrecisionSpec(
        kind="int8",
        made_from=_sha256(path),
        calibration_data=calibration.name,
        calibration_pictures=len(calibration.paths),
        ranges=made.method,
        float_layers=made.float_layers,
        detection_error=made.error,
    )
    return _assemble(model, made.network, spec, precision), made


def _assemble(
    model: onnx.ModelProto, network: onnx.ModelProto, spec: DetectorSpec, precision: PrecisionSpec
) -> onnx.ModelProto:
    changed = with_spec(put_network(model, network), spec.model_copy(update={"precision": precision}))
    onnx.checker.check_model(changed)
    return changed


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Artifacts: ONNX files with a detector's spec inside, read and written without PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from yoloscope.models.errors import ExportError, OutputError
from yoloscope.models.files import atomic_write
from yoloscope.models.spec import METADATA_KEY, DetectorSpec


def read_artifact(path: Path) -> tuple[onnx.ModelProto, DetectorSpec]:
    """Return the graph and the spec of an artifact; raise ExportError where the file is none."""
    try:
        model = onnx.load(path)
    except Exception as error:
        raise ExportError(f"expected an ONNX file at {path}, got: {error}") from error
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            return model, DetectorSpec.from_json(entry.value)
    raise ExportError(f"expected the metadata {METADATA_KEY!r} in {path}, got a model without")


def read_spec(path: str | Path) -> DetectorSpec:
    """Return the spec inside an artifact; raise ExportError where the file holds none."""
    return read_artifact(Path(path))[1]


def with_spec(model: onnx.ModelProto, spec: DetectorSpec) -> onnx.ModelProto:
    """Return the artifact with another spec inside."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    onnx.helper.set_model_props(changed, {METADATA_KEY: spec.to_json()})
    return changed


def write_artifact(model: onnx.ModelProto, path: Path, check: Callable[[Path], None]) -> None:
    """Write an artifact beside its place, ``check`` it there, and rename it.

    What ``check`` raises leaves a former file as it was. Raises ExportError where the file cannot be written.
    """
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(model.SerializeToString())
            check(temporary)
    except OutputError as error:
        raise ExportError(str(error)) from error

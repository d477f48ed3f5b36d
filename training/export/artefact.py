"""Artefacts as graphs: read, described anew, and written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx

from models.errors import ExportError
from models.spec import METADATA_KEY, DetectorSpec


def read_artefact(path: Path) -> tuple[onnx.ModelProto, DetectorSpec]:
    """Return the graph and the spec of an artefact; raise ExportError where the file is none."""
    try:
        model = onnx.load(path)
    except Exception as error:
        raise ExportError(f"expected an ONNX file at {path}, got: {error}") from error
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            return model, DetectorSpec.from_json(entry.value)
    raise ExportError(f"expected the metadata {METADATA_KEY!r} in {path}, got a model without")


def with_spec(model: onnx.ModelProto, spec: DetectorSpec) -> onnx.ModelProto:
    """Return the artefact with another spec inside."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    onnx.helper.set_model_props(changed, {METADATA_KEY: spec.to_json()})
    return changed


def write_artefact(model: onnx.ModelProto, path: Path, check: Callable[[Path], None]) -> None:
    """Write an artefact beside its place, ``check`` it there, and rename it.

    What ``check`` raises leaves a former file as it was. Raises ExportError where the file cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.onnx")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(model.SerializeToString())
        check(temporary)
        temporary.replace(path)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)

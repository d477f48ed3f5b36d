"""Artifacts in fp16 and int8, made from one in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from yoloscope.models.files import sha256
from yoloscope.models.spec import DetectorSpec, PrecisionSpec
from yoloscope.training.export.artifact import read_artifact, with_spec
from yoloscope.training.export.quantization.int8 import (
    Int8Network,
    Int8Settings,
    ProgressCallback,
    quantize_to_int8,
    require_float32,
)
from yoloscope.training.export.quantization.ranges import CalibrationImages, network_inputs
from yoloscope.training.export.surgery import put_network, take_network
from yoloscope.training.export.tracing import renew_detections


def make_fp16(path: Path) -> onnx.ModelProto:
    """Return the artifact at ``path`` with its network in half precision; decoding and suppression stay in float32.

    Raises ExportError where the file is no artifact or not in float32.
    """
    model, spec = read_artifact(path)
    network = take_network(model)
    require_float32(network)
    precision = PrecisionSpec(kind="fp16", made_from=sha256(path))
    return _assemble(model, convert_to_half(network), spec, precision)


def make_int8(
    path: Path,
    calibration: CalibrationImages,
    settings: Int8Settings | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[onnx.ModelProto, Int8Network]:
    """Return the artifact at ``path`` with its network in 8 bits, and how that came about (see ``quantize_to_int8``).

    Raises ExportError where the file is no artifact or not in float32, ImageDecodeError at an image that cannot be
    read.
    """
    model, spec = read_artifact(path)
    network = take_network(model)
    require_float32(network)
    made = quantize_to_int8(
        network,
        spec,
        network_inputs(calibration.levels(spec), spec.input_channels),
        settings or Int8Settings(),
        progress,
    )
    precision = PrecisionSpec(
        kind="int8",
        made_from=sha256(path),
        calibration_data=calibration.name,
        calibration_images=len(calibration.paths),
        ranges=made.method,
        float_layers=made.float_layers,
        detection_error=made.error,
    )
    return _assemble(model, made.network, spec, precision), made


BLOCKED: Final = sorted({*DEFAULT_OP_BLOCK_LIST} - {"Resize", "Upsample"})
"""Operators that stay in float32; the library would let resizing be one, which both CPU and CUDA do in half."""


def convert_to_half(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network of ``take_network`` with weights and activations in float16, its input and heads in float32.

    Weights beyond 65504 become that; whether activations stay below shows when it runs.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(network)
    converted = OnnxModel(convert_float_to_float16(copied, keep_io_types=True, op_block_list=BLOCKED))
    _drop_repeated(converted.model.graph)
    converted.topological_sort()
    model: onnx.ModelProto = converted.model
    return model


def _drop_repeated(graph: onnx.GraphProto) -> None:
    """Drop nodes that compute a value again: the library casts a constant once for every reader, by one name."""
    computed: set[str] = set()
    for node in list(graph.node):
        if computed.issuperset(node.output):
            graph.node.remove(node)
        computed.update(node.output)


def _assemble(
    model: onnx.ModelProto, network: onnx.ModelProto, spec: DetectorSpec, precision: PrecisionSpec
) -> onnx.ModelProto:
    changed = with_spec(
        put_network(renew_detections(model, spec), network), spec.model_copy(update={"precision": precision})
    )
    onnx.checker.check_model(changed)
    return changed

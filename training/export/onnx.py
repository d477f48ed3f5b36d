"""Export of a detector to one ONNX file with its spec inside."""

from __future__ import annotations

from pathlib import Path

import onnx
from torch import nn

from yoloscope.models.detector import Detector
from yoloscope.models.errors import ExportError, OutputError
from yoloscope.models.files import atomic_write
from yoloscope.models.session import FRACTION
from yoloscope.models.spec import METADATA_KEY, DetectorSpec
from yoloscope.training.export.parity import ParityReport, check_parity
from yoloscope.training.export.tracing import trace_detector

MAX_BYTES = 2**31 - 2**20
NETWORK_INPUT = "network_input"
SCALING = "Div"
"""Operation that brings images to 0..1, the last before the network."""


def export_onnx(network: nn.Module, spec: DetectorSpec, path: str | Path) -> ParityReport:
    """Write the artifact of ``network`` to ``path`` and return how well it agrees with the network.

    The file appears whole or not at all: it is written beside its place, compared with torch, then renamed. Where the
    two differ beyond rounding it is written all the same, and the report names the differences.
    Raises ExportError where the network cannot be exported, is too large for one file (2 GiB) or cannot be written,
    and ModelLoadError where onnxruntime cannot run it.
    """
    detector = Detector(network, spec)
    model = build_artifact(detector)
    try:
        with atomic_write(Path(path)) as temporary:
            temporary.write_bytes(model.SerializeToString())
            del model
            return check_parity(detector, temporary)
    except OutputError as error:
        raise ExportError(str(error)) from error


def build_artifact(detector: Detector) -> onnx.ModelProto:
    """Return the graph of a detector with its spec in the metadata and the scaled images named network_input."""
    _check_size(detector)
    model = trace_detector(detector)
    spec = detector.spec
    _name_network_input(model.graph)
    _make_fraction_constant(model.graph)
    model.graph.name = "detector"
    model.producer_name = "yoloscope"
    model.doc_string = f"{spec.name}: a {spec.family} detector of {len(spec.class_names)} classes"
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    return model


def _check_size(detector: Detector) -> None:
    tensors = {tensor.data_ptr(): tensor for tensor in (*detector.parameters(), *detector.buffers())}
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > MAX_BYTES:
        raise ExportError(f"expected weights that fit one ONNX file (below 2 GiB), got {size / 2**30:.2f} GiB")


def _name_network_input(graph: onnx.GraphProto) -> None:
    """Give the scaled images, the first Div after ``images``, the name network_input: a network may begin alike."""
    name = "images"
    for node in graph.node:
        if node.op_type in {"Cast", "Add", "Mul", "ReduceSum", "Transpose", SCALING} and node.input[0] == name:
            name = node.output[0]
            if node.op_type == SCALING:
                break
    else:
        raise ExportError("expected the scaling of the images at the start of the graph, found none")
    for node in graph.node:
        node.input[:] = [NETWORK_INPUT if value == name else value for value in node.input]
        node.output[:] = [NETWORK_INPUT if value == name else value for value in node.output]
    for info in graph.value_info:
        if info.name == name:
            info.name = NETWORK_INPUT


def _make_fraction_constant(graph: onnx.GraphProto) -> None:
    """Turn the input ``images_256ths`` into a constant zero; ``models/session.py`` makes it an input again."""
    graph.input.remove(next(value for value in graph.input if value.name == FRACTION))
    graph.initializer.append(onnx.helper.make_tensor(FRACTION, onnx.TensorProto.UINT8, [1, 1, 1, 1], [0]))

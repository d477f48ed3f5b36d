"""The one artefact: a detector as a single ONNX file with its spec inside."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import torch
from torch import nn

from models.detector import FRACTION, INPUTS, Detector
from models.errors import ExportError
from models.spec import METADATA_KEY, DetectorSpec
from training.export.artefact import read_artefact
from training.export.graph import trace
from training.export.parity import ParityReport, check_parity

MAX_BYTES = 2**31 - 2**20
NETWORK_INPUT = "network_input"


def export_onnx(network: nn.Module, spec: DetectorSpec, path: str | Path) -> ParityReport:
    """Write the artefact of ``network`` to ``path`` and return how well it agrees with the network.

    The file appears whole or not at all: it is written beside its place, compared with torch, then renamed. Raises
    ExportError where the network cannot be exported, is too large for one file (2 GiB), or the two disagree.
    """
    target = Path(path)
    detector = Detector(network, spec)
    model = build_artefact(detector)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(model.SerializeToString())
        del model
        report = check_parity(detector, temporary)
        temporary.replace(target)
    except OSError as error:
        raise ExportError(f"cannot write {target}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return report


def build_artefact(detector: Detector) -> onnx.ModelProto:
    """Return the graph of a detector with its spec in the metadata and the scaled pictures named network_input."""
    _check_size(detector)
    spec = detector.spec
    device = next(iter(detector.parameters()), torch.empty(0)).device
    batch = torch.export.Dim("batch", min=1)
    example = (
        torch.zeros(2, spec.input_height, spec.input_width, 3, dtype=torch.uint8, device=device),
        torch.full((2,), 0.5, device=device),
        torch.full((2,), 0.5, device=device),
        torch.zeros(1, 1, 1, 1, dtype=torch.uint8, device=device),
    )
    model = trace(
        detector,
        example,
        input_names=(*INPUTS, FRACTION),
        output_names=detector.output_names,
        dynamic_shapes=[*[{0: batch}] * len(INPUTS), {}],
    )
    _name_network_input(model.graph)
    _make_fraction_optional(model.graph)
    model.graph.name = "detector"
    model.producer_name = "yoloscope"
    model.doc_string = f"{spec.name}: a {spec.family} detector of {len(spec.class_names)} classes"
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    return model


def read_spec(path: str | Path) -> DetectorSpec:
    """Return the spec inside an artefact; raise ExportError where the file holds none."""
    return read_artefact(Path(path))[1]


def heads_from_floats(path: str | Path, num_heads: int) -> onnx.ModelProto:
    """Return the part of an artefact from float pictures [B, 3, H, W] in 0..1 (``network_input``) to its heads."""
    model = onnx.load(path)
    return onnx.utils.Extractor(model).extract_model([NETWORK_INPUT], [f"head_{index}" for index in range(num_heads)])


def _check_size(detector: Detector) -> None:
    tensors = {tensor.data_ptr(): tensor for tensor in (*detector.parameters(), *detector.buffers())}
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > MAX_BYTES:
        raise ExportError(f"expected weights that fit one ONNX file (below 2 GiB), got {size / 2**30:.2f} GiB")


def _name_network_input(graph: onnx.GraphProto) -> None:
    """Give the scaled pictures, the last of Cast, Add, Transpose and Div after ``images``, the name network_input."""
    name = "images"
    for node in graph.node:
        if node.op_type in {"Cast", "Add", "Transpose", "Div"} and node.input[0] == name:
            name = node.output[0]
    if name == "images":
        raise ExportError("expected the scaling of the pictures at the start of the graph, found none")
    for node in graph.node:
        node.input[:] = [NETWORK_INPUT if value == name else value for value in node.input]
        node.output[:] = [NETWORK_INPUT if value == name else value for value in node.output]
    for info in graph.value_info:
        if info.name == name:
            info.name = NETWORK_INPUT


def _make_fraction_optional(graph: onnx.GraphProto) -> None:
    """Let ``images_fraction`` have any shape that broadcasts, and default to one zero: an overridable initializer."""
    fraction = next(value for value in graph.input if value.name == FRACTION)
    fraction.type.tensor_type.shape.CopyFrom(
        onnx.helper.make_tensor_type_proto(
            onnx.TensorProto.UINT8, [f"fraction_{axis}" for axis in "bhwc"]
        ).tensor_type.shape
    )
    graph.initializer.append(onnx.helper.make_tensor(FRACTION, onnx.TensorProto.UINT8, [1, 1, 1, 1], [0]))

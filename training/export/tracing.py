"""Tracing of modules to ONNX graphs: of any module, and of a detector in three parts.

The parts are the network, the decoding of its heads, and suppression. Suppression is the same for every detector but
for numbers that it takes as inputs, and most of the time of an export; it is traced once in a process.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from yoloscope.models.decoding import check_heads
from yoloscope.models.detector import (
    DETECTIONS,
    INPUTS,
    Candidates,
    Detector,
    SpecNumbers,
    find_candidates,
    scale_pixels,
    suppress,
)
from yoloscope.models.errors import ExportError
from yoloscope.models.network import eval_mode
from yoloscope.models.session import FRACTION, GRAPH_VERSION, OLD_FRACTION
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.export.names import copy_constants_inside, renamed, set_values

OPSET: Final = 20


def trace(
    module: nn.Module,
    inputs: Sequence[Tensor],
    *,
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_shapes: Sequence[dict[int, Any] | tuple[dict[int, Any], ...]],
) -> onnx.ModelProto:
    """Return the ONNX graph (opset 20) of ``module`` in evaluation mode, without the exporter's notes.

    ``dynamic_shapes`` names the free dimensions of every input, as ``torch.export`` wants them. Raises ExportError with
    the exporter's reason.
    """
    try:
        with eval_mode(module), _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                tuple(inputs),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(input_names),
                output_names=list(output_names),
                dynamic_shapes=tuple(dynamic_shapes),
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        raise ExportError(f"the network cannot be written as an ONNX graph: {_reason(error)}") from error
    if program is None:
        raise ExportError("expected an ONNX program from the exporter, got none")
    model: onnx.ModelProto = program.model_proto
    _forget_the_exporter(model.graph)
    return model


def _forget_the_exporter(graph: onnx.GraphProto) -> None:
    """Remove the exporter's notes, which hold paths and lines of the source on the machine that exports."""
    for noted in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        noted.ClearField("metadata_props")
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _forget_the_exporter(inner)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about itself off the user's screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch.fx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """Return the first line of the innermost error, where the exporter says what it could not do."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


_CANDIDATES: Final = tuple(f"candidate_{name}" for name in Candidates._fields)
_NUMBERS: Final = SpecNumbers._fields


class _Heads(nn.Module):
    """Images to raw heads."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.network = detector.network
        self._spec = detector.spec

    def forward(self, images: Tensor, images_fraction: Tensor) -> tuple[Tensor, ...]:
        heads: tuple[Tensor, ...] = self.network(
            scale_pixels(images, images_fraction, channels=self._spec.input_channels)
        )
        check_heads(heads, self._spec)
        return heads


class _Decoding(nn.Module):
    """Raw heads and the score threshold to candidates."""

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__()
        self._spec = spec

    def forward(self, *inputs: Tensor) -> Candidates:
        return find_candidates(inputs[:-1], self._spec, inputs[-1])


class _Suppression(nn.Module):
    """Candidates, the IoU threshold and the numbers of a spec to detections."""

    def __init__(self, beta: float | None) -> None:
        super().__init__()
        self._beta = beta

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        candidates, (iou_threshold, *numbers) = Candidates(*inputs[:4]), inputs[4:]
        return suppress(candidates, iou_threshold, self._beta, SpecNumbers(*numbers))


def trace_detector(detector: Detector) -> onnx.ModelProto:
    """Return the graph of a detector (opset 20), with ``images_256ths`` as its last input; raise ExportError."""
    return append_detections(_trace_heads(detector), detector.spec)


def append_detections(model: onnx.ModelProto, spec: DetectorSpec) -> onnx.ModelProto:
    """Put decoding and suppression behind a graph of images to raw heads, in place; return it. Raises ExportError."""
    _append(model, _trace_decoding(spec), "decoding/")
    _append(model, _trace_suppression(spec.nms.beta), "suppression/")
    numbers = SpecNumbers.of(spec, torch.device("cpu"))
    for name, number in zip(_NUMBERS, numbers, strict=True):
        model.graph.initializer.append(numpy_helper.from_array(torch.as_tensor(number).numpy(), name))
    given = {value.name: value for value in model.graph.input}
    set_values(model.graph.input, [given[name] for name in (*INPUTS, FRACTION) if name in given])
    computed = {value.name: value for value in model.graph.output}
    heads = (f"head_{index}" for index in range(len(spec.heads)))
    set_values(model.graph.output, [computed[name] for name in (*DETECTIONS, *heads)])
    copy_constants_inside(model.graph)
    model.model_version = GRAPH_VERSION
    return model


def renew_detections(model: onnx.ModelProto, spec: DetectorSpec) -> onnx.ModelProto:
    """Return an artifact of an earlier version with the decoding and suppression of this one: CUDA can run them.

    Everything else is as it was; an artifact of this version is returned as it is. Raises ExportError.
    """
    if model.model_version >= GRAPH_VERSION:
        return model
    heads = [value.name for value in model.graph.output if value.name not in DETECTIONS]
    part = onnx.utils.Extractor(model).extract_model([INPUTS[0]], heads)
    for tensor in part.graph.initializer:
        tensor.name = FRACTION if tensor.name == OLD_FRACTION else tensor.name
    for node in part.graph.node:
        set_values(node.input, [FRACTION if name == OLD_FRACTION else name for name in node.input])
    renewed = append_detections(part, spec)
    for field in ("producer_name", "doc_string"):
        setattr(renewed, field, getattr(model, field))
    renewed.graph.name = model.graph.name
    renewed.metadata_props.extend(model.metadata_props)
    return renewed


def _batch() -> torch.export.Dim:
    return torch.export.Dim("batch", min=1)


def _trace_heads(detector: Detector) -> onnx.ModelProto:
    spec = detector.spec
    device = next(iter(detector.parameters()), torch.empty(0)).device
    return trace(
        _Heads(detector),
        (
            torch.zeros(2, spec.input_height, spec.input_width, spec.image_planes, dtype=torch.uint8, device=device),
            torch.zeros(1, 1, 1, 1, dtype=torch.uint8, device=device),
        ),
        input_names=(INPUTS[0], FRACTION),
        output_names=detector.output_names[len(DETECTIONS) :],
        dynamic_shapes=[{0: _batch()}, {}],
    )


def _trace_decoding(spec: DetectorSpec) -> onnx.ModelProto:
    """Return the graph of raw heads and the score threshold to candidates; once for specs that decode the same."""
    kept = spec.model_dump(include={"input_width", "input_height", "anchors_px", "heads", "class_tree"})
    names = tuple(map(str, range(len(spec.class_names))))
    return _traced_decoding(DetectorSpec(name="", family="v4", class_names=names, loss=spec.loss, **kept).to_json())


@lru_cache(maxsize=8)
def _traced_decoding(spec_json: str) -> onnx.ModelProto:
    spec = DetectorSpec.from_json(spec_json)
    heads = [torch.zeros(spec.head_shape(index, 2)) for index in range(len(spec.heads))]
    return trace(
        _Decoding(spec),
        (*heads, torch.full((2,), 0.5)),
        input_names=(*(f"head_{index}" for index in range(len(heads))), INPUTS[1]),
        output_names=_CANDIDATES,
        dynamic_shapes=[({0: _batch()},) * (len(heads) + 1)],
    )


@lru_cache(maxsize=4)
def _trace_suppression(beta: float | None) -> onnx.ModelProto:
    candidates = Candidates(torch.rand(7, 4), torch.rand(7), *torch.zeros(2, 7, dtype=torch.int64))
    numbers = SpecNumbers(torch.tensor(2), torch.tensor(100), torch.full((4,), 64.0))
    count = torch.export.Dim("candidates")
    return trace(
        _Suppression(beta),
        (*candidates, torch.full((2,), 0.5), *map(torch.as_tensor, numbers)),
        input_names=(*_CANDIDATES, INPUTS[2], *_NUMBERS),
        output_names=DETECTIONS,
        dynamic_shapes=[(*[{0: count}] * len(candidates), {0: _batch()}, *[{}] * len(numbers))],
    )


def _append(model: onnx.ModelProto, part: onnx.ModelProto, prefix: str) -> None:
    """Put a part behind a graph, joined by the names that both have; what is inside the part gets a prefix."""
    graph, added = model.graph, renamed(part, prefix).graph
    made = {value.name for value in graph.output}
    graph.input.extend(value for value in added.input if value.name not in made)
    graph.output.extend(added.output)
    graph.node.extend(added.node)
    graph.initializer.extend(added.initializer)

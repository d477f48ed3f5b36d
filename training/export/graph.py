"""Torch modules to ONNX graphs, quietly."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from models.errors import ExportError
from models.modes import evaluating

OPSET = 20


def trace(
    module: nn.Module,
    inputs: Sequence[Tensor],
    *,
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_shapes: Sequence[dict[int, Any]],
) -> onnx.ModelProto:
    """Return the ONNX graph (opset 20) of ``module`` in evaluation mode, without the exporter's notes.

    ``dynamic_shapes`` names the free dimensions of every input, as ``torch.export`` wants them. Raises ExportError with
    the exporter's reason.
    """
    try:
        with evaluating(module), _quiet(), torch.no_grad():
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

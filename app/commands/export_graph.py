"""Export of graphs for other runtimes: ``yoloscope export --outputs heads|boxes``, and TensorRT's own suppression."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
import typer
from rich.console import Console

from yoloscope.models.errors import ConfigError, ExportError, ModelLoadError, OutputError
from yoloscope.models.files import atomic_write, sha256
from yoloscope.models.session import open_session
from yoloscope.models.spec import RGB_CHANNELS, DetectorSpec
from yoloscope.training.export.consumers import IMAGES, Outputs, check_graph, cut, to_network_input
from yoloscope.training.export.parity import synthetic_images

_PLANES: Final = {1: "gray", RGB_CHANNELS: "RGB"}


@dataclass(frozen=True)
class GraphExport:
    """A graph that was written, and which runtimes take it."""

    path: Path
    outputs: Outputs
    spec: DetectorSpec
    graph: onnx.GraphProto

    @property
    def note(self) -> str:
        """What who runs the file has to know."""
        if self.outputs == "detections":
            return (
                "only TensorRT runs this file (EfficientNMS_TRT): it suppresses by plain IoU, not by DIoU as the "
                "artifact does, so that crowded objects may differ; the thresholds are fixed"
            )
        placement, channels = self.spec.resize.placement, self.spec.input_channels
        planes = _PLANES.get(channels, f"{channels} planes")
        how = f"images are {planes} in 0..1, brought to the network's size by {placement}"
        return f"{how}; any runtime of ONNX runs this file"


def write_graph_export(artifact: onnx.ModelProto, spec: DetectorSpec, outputs: Outputs, path: Path) -> GraphExport:
    """Write the graph that ends at ``outputs``, after a run of it in onnxruntime where that knows its operators.

    Raises ExportError; a former file is then as it was.
    """
    model = cut(artifact, spec, outputs)
    check_graph(model)
    data = model.SerializeToString()
    if outputs != "detections":
        _run_once(data, spec)
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    except OutputError as error:
        raise ExportError(str(error)) from error
    return GraphExport(path, outputs, spec, model.graph)


def _run_once(data: bytes, spec: DetectorSpec) -> None:
    image = next(iter(synthetic_images(spec)))
    try:
        session = open_session(data)
        session.run(None, {IMAGES: to_network_input(image[None], spec)})
    except ModelLoadError as error:
        raise ExportError(f"expected a graph that onnxruntime runs, got: {error}") from error


def show_graph_export(made: GraphExport, *, as_json: bool) -> None:
    """Print the inputs and outputs of the file, and what who runs it has to know."""
    if as_json:
        typer.echo(json.dumps(_document(made), indent=2))
        return
    console = Console(highlight=False, markup=False)
    for kind, values in (("input", made.graph.input), ("output", made.graph.output)):
        for value in values:
            console.print(f"{kind} {value.name} {_shape(value)}", soft_wrap=True)
    console.print(made.note, soft_wrap=True)
    console.print(f"wrote {made.path}", soft_wrap=True)


def _document(made: GraphExport) -> dict[str, Any]:
    return {
        "output": str(made.path),
        "outputs": made.outputs,
        "sha256": sha256(made.path),
        "inputs": {value.name: _shape(value) for value in made.graph.input},
        "values": {value.name: _shape(value) for value in made.graph.output},
        "class_names": list(made.spec.class_names),
        "note": made.note,
    }


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def is_cut(outputs: Outputs, nms: str, evaluated: Path | None, evaluate_split: str | None) -> bool:
    """Return whether a graph is asked for that is no artifact; raises ConfigError where options contradict it.

    ``evaluated`` is data to measure AP on.
    """
    if nms == "tensorrt" and outputs != "detections":
        raise ConfigError(f"--nms tensorrt: expected --outputs detections, got {outputs}")
    cut = outputs != "detections" or nms == "tensorrt"
    if cut and (evaluated or evaluate_split):
        raise ConfigError(
            "data to measure on: expected --outputs detections and --nms exact, whose AP can be measured; "
            "--data calibrates --precision int8 alone"
        )
    return cut

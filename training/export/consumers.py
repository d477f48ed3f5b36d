"""Graphs for runtimes that do not run a whole artifact: cut at the heads, at decoded boxes, or before TensorRT's NMS.

All take float32 ``images`` [B, C, H, W] in 0..1, RGB (C of a gray network is 1), at the network's size.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from yoloscope.models.decoding import decode_heads
from yoloscope.models.detector import DETECTIONS, scale_pixels
from yoloscope.models.errors import ExportError
from yoloscope.models.spec import METADATA_KEY, DetectorSpec
from yoloscope.training.export.names import renamed, set_values
from yoloscope.training.export.onnx import NETWORK_INPUT
from yoloscope.training.export.surgery import take_network
from yoloscope.training.export.tracing import trace

Outputs = Literal["detections", "boxes", "heads"]
IMAGES: Final = "images"
BOXES: Final = ("boxes", "confs")
TENSORRT_NMS: Final = "EfficientNMS_TRT"
_MAX_ROWS: Final = 300
_DECODED: Final = ("decoded_boxes", "decoded_scores")


def heads_graph(artifact: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph from ``images`` to the raw heads ``head_0`` ...; raises ExportError where it is no artifact."""
    model = take_network(artifact)
    for node in model.graph.node:
        set_values(node.input, [IMAGES if name == NETWORK_INPUT else name for name in node.input])
    model.graph.input[0].name = IMAGES
    model.doc_string = artifact.doc_string
    set_values(model.metadata_props, [entry for entry in artifact.metadata_props if entry.key != METADATA_KEY])
    return model


def boxes_graph(artifact: onnx.ModelProto, spec: DetectorSpec) -> onnx.ModelProto:
    """Return the graph from ``images`` to ``boxes`` [B, N, 1, 4] and ``confs`` [B, N, C], before any threshold.

    Names and shapes are those of hank-ai/darknet's exporter: corners as fractions of the image, and objectness times
    class probability.
    """
    model, rows = _decoded(artifact, spec), _num_rows(spec)
    model.graph.initializer.append(numpy_helper.from_array(np.array([2], np.int64), "box_axis"))
    model.graph.node.append(helper.make_node("Unsqueeze", [_DECODED[0], "box_axis"], [BOXES[0]]))
    model.graph.node.append(helper.make_node("Identity", [_DECODED[1]], [BOXES[1]]))
    model.graph.output.append(_output(BOXES[0], TensorProto.FLOAT, rows, 1, 4))
    model.graph.output.append(_output(BOXES[1], TensorProto.FLOAT, rows, len(spec.class_names)))
    return model


def tensorrt_graph(artifact: onnx.ModelProto, spec: DetectorSpec) -> onnx.ModelProto:
    """Return the graph with TensorRT's node ``EfficientNMS_TRT`` behind the decoding; its outputs are an artifact's.

    It suppresses by plain IoU at the thresholds of the spec, and gives int32 and at most 300 rows. Boxes are in network
    pixels. Only TensorRT knows the node.
    """
    model, nms = _decoded(artifact, spec), spec.nms
    size = np.array([spec.input_width, spec.input_height] * 2, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(size, "network_size"))
    model.graph.node.append(helper.make_node("Mul", [_DECODED[0], "network_size"], ["boxes_px"]))
    node = helper.make_node(
        TENSORRT_NMS,
        ["boxes_px", _DECODED[1]],
        list(DETECTIONS),
        name="suppression",
        domain="TRT",
        plugin_version="1",
        background_class=-1,
        max_output_boxes=_MAX_ROWS,
        score_threshold=float(nms.score_threshold),
        iou_threshold=float(nms.iou_threshold),
        score_activation=0,
        class_agnostic=0,
        box_coding=0,
    )
    model.graph.node.append(node)
    model.opset_import.append(helper.make_opsetid("TRT", 1))
    floats, integers = TensorProto.FLOAT, TensorProto.INT32
    model.graph.output.append(_output("num_detections", integers, 1))
    model.graph.output.append(_output("boxes", floats, _MAX_ROWS, 4))
    model.graph.output.append(_output("scores", floats, _MAX_ROWS))
    model.graph.output.append(_output("class_ids", integers, _MAX_ROWS))
    return model


class _Decoding(nn.Module):
    """Raw heads to boxes [B, N, 4] as fractions and scores [B, N, C]."""

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__()
        self._spec = spec

    def forward(self, *heads: Tensor) -> tuple[Tensor, Tensor]:
        return decode_heads(heads, self._spec)


@lru_cache(maxsize=4)
def _traced_decoding(spec_json: str) -> onnx.ModelProto:
    spec = DetectorSpec.from_json(spec_json)
    batch = torch.export.Dim("batch", min=1)
    heads = [torch.zeros(spec.head_shape(index, 2)) for index in range(len(spec.heads))]
    part = trace(
        _Decoding(spec),
        heads,
        input_names=[f"head_{index}" for index in range(len(heads))],
        output_names=_DECODED,
        dynamic_shapes=[({0: batch},) * len(heads)],
    )
    return renamed(part, "decoding/")


def _decoded(artifact: onnx.ModelProto, spec: DetectorSpec) -> onnx.ModelProto:
    """Return the graph of the heads with their decoding behind it, still without outputs."""
    model, added = heads_graph(artifact), _traced_decoding(spec.to_json())
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if any(versions.get(entry.domain, entry.version) != entry.version for entry in added.opset_import):
        raise ExportError("expected an artifact of this version's operators, got an older one: export the model anew")
    model.graph.node.extend(added.graph.node)
    model.graph.initializer.extend(added.graph.initializer)
    del model.graph.output[:]
    return model


def _output(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, ["batch", *shape])


def _num_rows(spec: DetectorSpec) -> int:
    return sum(
        head.grid_width * head.grid_height * (head.num_anchors if head.kind != "detection" else head.boxes_per_cell)
        for head in spec.heads
    )


def cut(artifact: onnx.ModelProto, spec: DetectorSpec, outputs: Outputs) -> onnx.ModelProto:
    """Return the graph that ends at ``outputs``; for ``detections`` it is TensorRT's."""
    match outputs:
        case "heads":
            return heads_graph(artifact)
        case "boxes":
            return boxes_graph(artifact, spec)
        case "detections":
            return tensorrt_graph(artifact, spec)


def check_graph(model: onnx.ModelProto) -> None:
    """Raise ExportError where ``onnx.checker`` finds a fault."""
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"expected a valid ONNX graph, got one that fails: {error}") from error


def to_network_input(levels: NDArray[np.uint8], spec: DetectorSpec) -> NDArray[np.float32]:
    """Return images uint8 [B, H, W, P] as the float32 [B, C, H, W] in 0..1 that the graphs take."""
    scaled: NDArray[np.float32] = scale_pixels(torch.from_numpy(levels), channels=spec.input_channels).numpy()
    return np.ascontiguousarray(scaled)

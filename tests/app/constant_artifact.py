"""Artifacts whose heads are the same for every image: what a loss of known inputs is tested with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from yoloscope.models.spec import METADATA_KEY, DetectorSpec


def write_constant_artifact(path: Path, spec: DetectorSpec, heads: Sequence[NDArray[np.float32]]) -> Path:
    """Write an artifact without detections whose raw heads are ``heads``, each [1, ...]."""
    model = helper.make_model(_graph(spec, heads), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def _graph(spec: DetectorSpec, heads: Sequence[NDArray[np.float32]]) -> onnx.GraphProto:
    outputs: dict[str, NDArray[Any]] = {
        "num_detections": np.zeros((1,), np.int64),
        "boxes": np.zeros((1, 1, 4), np.float32),
        "scores": np.zeros((1, 1), np.float32),
        "class_ids": np.zeros((1, 1), np.int64),
        **{f"head_{index}": head for index, head in enumerate(heads)},
    }
    nodes = [
        helper.make_node("Shape", ["images"], ["batch"], end=1),
        helper.make_node("ReduceMin", ["score_threshold"], ["unused_score"], keepdims=0),
        helper.make_node("ReduceMin", ["iou_threshold"], ["unused_iou"], keepdims=0),
    ]
    initializers = []
    for name, value in outputs.items():
        initializers += [
            numpy_helper.from_array(value, f"{name}_value"),
            numpy_helper.from_array(np.array(value.shape[1:], np.int64), f"{name}_tail"),
        ]
        nodes += [
            helper.make_node("Concat", ["batch", f"{name}_tail"], [f"{name}_shape"], axis=0),
            helper.make_node("Expand", [f"{name}_value", f"{name}_shape"], [name]),
        ]
    info, kinds = helper.make_tensor_value_info, {"i": TensorProto.INT64, "f": TensorProto.FLOAT}
    return helper.make_graph(
        nodes,
        "constant",
        [
            info("images", TensorProto.UINT8, ["B", spec.input_height, spec.input_width, 3]),
            info("score_threshold", TensorProto.FLOAT, ["B"]),
            info("iou_threshold", TensorProto.FLOAT, ["B"]),
        ],
        [info(name, kinds[value.dtype.kind], ["B", *value.shape[1:]]) for name, value in outputs.items()],
        initializers,
    )

"""A tiny artifact, made by hand: four fixed candidates, the first one's score tells how bright the image is."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from yoloscope.models.spec import METADATA_KEY, DetectorSpec, HeadSpec, LossSpec

SIDE = 32
CLASS_NAMES = ("cat", "dog", "traffic light")
BOXES = ((4.0, 8.0, 20.0, 24.0), (0.0, 0.0, 16.0, 16.0), (16.0, 16.0, 40.0, 32.0), (8.0, 8.0, 12.0, 12.0))
CLASS_IDS = (0, 1, 0, 2)
LOWER_SCORES = (0.5, 0.375, 0.125)
"""Of the second to fourth candidate; the first has 0.5 + brightness / 2 with brightness 0..1."""


def tiny_spec(name: str = "tiny", planes: int = 3) -> DetectorSpec:
    return DetectorSpec(
        name=name,
        family="v4",
        class_names=CLASS_NAMES,
        input_width=SIDE,
        input_height=SIDE,
        input_channels=planes,
        anchors_px=((10.0, 10.0),),
        heads=(HeadSpec(kind="yolo", grid_width=2, grid_height=2, anchor_indices=(0,)),),
        loss=LossSpec(preset="v4"),
    )


def write_tiny_artifact(path: Path, metadata: str | None = None, *, planes: int = 3) -> Path:
    """Write the artifact; ``metadata`` replaces the spec's JSON."""
    spec = tiny_spec(path.stem, planes)
    model = helper.make_model(_graph(planes), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: spec.to_json() if metadata is None else metadata})
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


def _graph(planes: int) -> onnx.GraphProto:
    constants = {
        "box_values": np.array([BOXES], np.float32),
        "class_values": np.array([CLASS_IDS], np.int64),
        "lower_scores": np.array([LOWER_SCORES], np.float32),
        "head_values": np.full((1, 8, 2, 2), 0.25, np.float32),
        "half_over_255": np.array(0.5 / 255, np.float32),
        "half": np.array(0.5, np.float32),
        "one": np.array([1], np.int64),
        "four": np.array([4], np.int64),
        "box_tail": np.array([4, 4], np.int64),
        "three": np.array([3], np.int64),
        "head_tail": np.array([8, 2, 2], np.int64),
        "image_axes": np.array([1, 2, 3], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        node("Shape", ["images"], ["batch"], end=1),
        node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=0),
        node("Mul", ["mean", "half_over_255"], ["scaled"]),
        node("Add", ["scaled", "half"], ["first"]),
        node("Unsqueeze", ["first", "one"], ["first_column"]),
        node("Concat", ["batch", "three"], ["lower_shape"], axis=0),
        node("Expand", ["lower_scores", "lower_shape"], ["lower"]),
        node("Concat", ["first_column", "lower"], ["scores"], axis=1),
        node("Unsqueeze", ["score_threshold", "one"], ["threshold_column"]),
        node("Greater", ["scores", "threshold_column"], ["kept"]),
        node("Cast", ["kept"], ["kept_counts"], to=TensorProto.INT64),
        node("ReduceSum", ["kept_counts", "one"], ["num_detections"], keepdims=0),
        node("Concat", ["batch", "box_tail"], ["box_shape"], axis=0),
        node("Expand", ["box_values", "box_shape"], ["boxes"]),
        node("Concat", ["batch", "four"], ["class_shape"], axis=0),
        node("Expand", ["class_values", "class_shape"], ["class_ids"]),
        node("Concat", ["batch", "head_tail"], ["head_shape"], axis=0),
        node("Expand", ["head_values", "head_shape"], ["head_0"]),
    ]
    info = helper.make_tensor_value_info
    used = {name for item in nodes for name in item.input}
    return helper.make_graph(
        nodes,
        "tiny",
        [
            info("images", TensorProto.UINT8, ["B", SIDE, SIDE, planes]),
            info("score_threshold", TensorProto.FLOAT, ["B"]),
            info("iou_threshold", TensorProto.FLOAT, ["B"]),
        ],
        [
            info("num_detections", TensorProto.INT64, ["B"]),
            info("boxes", TensorProto.FLOAT, ["B", 4, 4]),
            info("scores", TensorProto.FLOAT, ["B", 4]),
            info("class_ids", TensorProto.INT64, ["B", 4]),
            info("head_0", TensorProto.FLOAT, ["B", 8, 2, 2]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
    )

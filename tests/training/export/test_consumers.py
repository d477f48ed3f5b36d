"""Graphs for other runtimes, each run by them: OpenCV's cv2.dnn, OpenVINO, onnxruntime; the artifact is the oracle."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import openvino
import pytest
from numpy.typing import NDArray

from yoloscope.models import zoo
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.detector import Detector
from yoloscope.models.errors import ExportError
from yoloscope.models.session import open_session
from yoloscope.models.spec import METADATA_KEY, DetectorSpec
from yoloscope.training.export.artifact import read_artifact
from yoloscope.training.export.consumers import Outputs, check_graph, cut, to_network_input
from yoloscope.training.export.onnx import build_artifact, export_onnx
from yoloscope.training.export.parity import synthetic_images
from yoloscope.training.export.precision import make_fp16

THRESHOLD = 0.01
KINDS: tuple[Outputs, ...] = ("heads", "boxes", "detections")


class Written:
    """An artifact, an image, the outputs of the artifact for it, and the files that are cut from it."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.model, self.spec = read_artifact(path)
        self.levels = np.stack(list(synthetic_images(self.spec))[2:3])
        self.images = to_network_input(self.levels, self.spec)
        feeds = {"images": self.levels, "score_threshold": np.array([THRESHOLD], np.float32)}
        session = open_session(path)
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, feeds | {"iou_threshold": np.array([0.45], np.float32)})
        self.artifact: dict[str, NDArray[Any]] = dict(zip(names, values, strict=True))
        self.heads = [self.artifact[f"head_{index}"] for index in range(len(self.spec.heads))]
        self.graphs: dict[str, onnx.ModelProto] = {kind: cut(self.model, self.spec, kind) for kind in KINDS}
        self.files = {kind: folder / f"{kind}.onnx" for kind in KINDS}
        for kind, file in self.files.items():
            onnx.save(self.graphs[kind], file)


@pytest.fixture(scope="module", params=["builtin", "small"])
def written(request: pytest.FixtureRequest, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A network of three heads whose sides differ, and a tiny one of two heads."""
    path = zoo.BUILTIN if request.param == "builtin" else small
    return Written(path, tmp_path_factory.mktemp("consumers"))


def by_opencv(file: Path, images: NDArray[np.float32], names: list[str]) -> list[NDArray[Any]]:
    network = cv2.dnn.readNetFromONNX(str(file))
    network.setInput(images, "images")
    return list(network.forward(names))


def by_openvino(file: Path, images: NDArray[np.float32], names: list[str]) -> list[NDArray[Any]]:
    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled({"images": images})
    return [found[name] for name in names]


def by_onnxruntime(file: Path, images: NDArray[np.float32], names: list[str]) -> list[NDArray[Any]]:
    return list(open_session(file).run(names, {"images": images}))


CONSUMERS = [by_opencv, by_openvino, by_onnxruntime]


@pytest.mark.parametrize("run", CONSUMERS)
def test_heads_are_those_of_the_artifact(written: Written, run: Any) -> None:
    names = [f"head_{index}" for index in range(len(written.heads))]
    for found, expected in zip(run(written.files["heads"], written.images, names), written.heads, strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("run", CONSUMERS)
def test_boxes_hold_every_detection_of_the_artifact(written: Written, run: Any) -> None:
    """Names and shapes are those of hank-ai/darknet's exporter; its boxes are fractions, the artifact's pixels."""
    boxes, confs = run(written.files["boxes"], written.images, ["boxes", "confs"])
    rows = sum(head.shape[1] // (5 + len(written.spec.class_names)) * head[0, 0].size for head in written.heads)
    assert boxes.shape == (1, rows, 1, 4)
    assert confs.shape == (1, rows, len(written.spec.class_names))
    assert ((confs >= 0) & (confs <= 1)).all()
    scaled = boxes[0, :, 0] * np.array([written.spec.input_width, written.spec.input_height] * 2)
    (count,) = written.artifact["num_detections"]
    assert count > 0
    for row in range(count):
        class_id = written.artifact["class_ids"][0, row]
        same = np.isclose(confs[0, :, class_id], written.artifact["scores"][0, row], atol=1e-3)
        near = np.isclose(scaled, written.artifact["boxes"][0, row], rtol=1e-3, atol=0.05).all(1)
        assert (same & near).any()


def test_a_cut_file_takes_batches_and_names_no_artifact(written: Written) -> None:
    images = np.concatenate([written.images] * 3)
    boxes, confs = by_onnxruntime(written.files["boxes"], images, ["boxes", "confs"])
    assert (len(boxes), len(confs)) == (3, 3)
    model = onnx.load(written.files["boxes"])
    assert METADATA_KEY not in {entry.key for entry in model.metadata_props}
    assert [value.name for value in model.graph.input] == ["images"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_checker_of_onnx_finds_no_fault(written: Written, kind: Outputs) -> None:
    check_graph(written.graphs[kind])


def test_tensorrts_node_gets_boxes_in_pixels_and_has_the_outputs_of_an_artifact(written: Written) -> None:
    model = onnx.load(written.files["detections"])
    node = model.graph.node[-1]
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    assert (node.op_type, list(node.output)) == (
        "EfficientNMS_TRT",
        ["num_detections", "boxes", "scores", "class_ids"],
    )
    assert [value.name for value in model.graph.output] == list(node.output)
    assert attributes["iou_threshold"] == pytest.approx(written.spec.nms.iou_threshold)
    assert attributes["score_threshold"] == pytest.approx(written.spec.nms.score_threshold)
    assert (attributes["background_class"], attributes["box_coding"], attributes["max_output_boxes"]) == (-1, 0, 300)
    del model.graph.node[-1]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.input)
    corners, scores = open_session(model.SerializeToString()).run(list(node.input), {"images": written.images})
    boxes, confs = by_onnxruntime(written.files["boxes"], written.images, ["boxes", "confs"])
    size = [written.spec.input_width, written.spec.input_height] * 2
    np.testing.assert_allclose(corners, boxes[:, :, 0] * np.array(size, np.float32), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(scores, confs)


def test_half_precision_is_cut_as_well(written: Written, tmp_path: Path) -> None:
    onnx.save(written.model, tmp_path / "full.onnx")
    onnx.save(cut(make_fp16(tmp_path / "full.onnx"), written.spec, "heads"), tmp_path / "half.onnx")
    found = by_onnxruntime(tmp_path / "half.onnx", written.images, ["head_0"])[0]
    expected = written.heads[0]
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


CROPPED = """
[net]
width=32
height=32
channels=3
[crop]
crop_width=32
crop_height=32
noadjust=0
[convolutional]
filters=14
size=3
stride=8
pad=1
activation=linear
[yolo]
mask=0,1
anchors=4,4, 8,8
classes=2
num=2
"""


def test_a_network_that_begins_with_an_operation_of_the_scaling_is_cut_before_it(tmp_path: Path) -> None:
    """[crop] brings 0..1 to -1..1: its multiplication is the network's, not the scaling's, which ends at 0..1."""
    network = build_darknet(CROPPED)
    path = tmp_path / "cropped.onnx"
    assert export_onnx(network, network.spec, path).warnings == ()
    written = Written(path, tmp_path)
    (found,) = by_onnxruntime(written.files["heads"], written.images, ["head_0"])
    np.testing.assert_allclose(found, written.heads[0], atol=1e-5)
    nodes = onnx.load(written.files["heads"]).graph.node
    assert [node.op_type for node in nodes][:2] == ["Mul", "Sub"]


def test_an_older_artifact_that_names_another_value_is_refused() -> None:
    network = build_darknet(CROPPED)
    model = build_artifact(Detector(network, network.spec))
    renamed = {"network_input": "scaled"}
    renamed |= {next(node.output[0] for node in model.graph.node if node.input[0] == "network_input"): "network_input"}
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    with pytest.raises(ExportError, match="got an older artifact: import the model anew"):
        cut(model, network.spec, "heads")


def test_what_is_no_artifact_is_refused(written: Written) -> None:
    heads = onnx.load(written.files["heads"])
    with pytest.raises(ExportError, match="not an artifact"):
        cut(heads, written.spec, "heads")


def test_gray_networks_take_one_channel() -> None:
    """The weights of gray are 77, 150 and 29 of 256, as in darknet: pure green is 150/256."""
    spec = read_artifact(zoo.BUILTIN)[1]
    gray = DetectorSpec.from_json(spec.model_copy(update={"input_channels": 1}).to_json())
    green = np.zeros((1, 2, 2, 3), np.uint8)
    green[..., 1] = 255
    assert to_network_input(green, gray).shape == (1, 1, 2, 2)
    np.testing.assert_allclose(to_network_input(green, gray), 150 / 256, rtol=1e-5)

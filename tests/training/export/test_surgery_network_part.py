"""Taking the network out of an artifact and putting it back."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.app.artifact import write_tiny_artifact
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.detector import DETECTIONS
from yoloscope.models.errors import ExportError
from yoloscope.models.session import open_session
from yoloscope.training.export.artifact import read_artifact, with_spec, write_artifact
from yoloscope.training.export.surgery import put_network, take_detection, take_network

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)


def test_what_is_put_back_unchanged_detects_the_same(small: Path, tmp_path: Path) -> None:
    model = onnx.load(small)
    again = put_network(model, take_network(model))
    onnx.checker.check_model(again, full_check=True)
    onnx.save(again, tmp_path / "again.onnx")
    first, second = (Runtime(path, "cpu", 1) for path in (small, tmp_path / "again.onnx"))
    found = [runtime.detect(IMAGES, [0.01] * 2, [0.5] * 2) for runtime in (first, second)]
    for one, other in zip(*found, strict=True):
        assert len(one.scores)
        np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)
        np.testing.assert_array_equal(one.scores, other.scores)
    for head, expected in zip(second.heads(IMAGES), first.heads(IMAGES), strict=True):
        np.testing.assert_array_equal(head, expected)


def test_the_part_behind_the_network_detects_as_the_whole(small: Path) -> None:
    part = take_detection(onnx.load(small))
    onnx.checker.check_model(part, full_check=True)
    runtime = Runtime(small, "cpu", 1)
    session = open_session(part.SerializeToString())
    heads = {f"head_{index}": head for index, head in enumerate(runtime.heads(IMAGES))}
    thresholds = {"score_threshold": np.full(2, 0.01, np.float32), "iou_threshold": np.full(2, 0.5, np.float32)}
    assert {value.name for value in session.get_inputs()} == {*heads, *thresholds}
    counts, boxes, scores, class_ids = session.run(list(DETECTIONS), heads | thresholds)
    for row, expected in enumerate(runtime.detect(IMAGES, [0.01] * 2, [0.5] * 2)):
        count = len(expected.scores)
        assert counts[row] == count > 0
        np.testing.assert_array_equal(boxes[row, :count], expected.boxes_xyxy)
        np.testing.assert_array_equal(scores[row, :count], expected.scores)
        np.testing.assert_array_equal(class_ids[row, :count], expected.class_ids)


def test_no_weight_is_left_behind(small: Path) -> None:
    model = onnx.load(small)
    again = put_network(model, take_network(model))
    assert again.ByteSize() == pytest.approx(model.ByteSize(), rel=0.1)
    names = [tensor.name for tensor in again.graph.initializer]
    assert len(names) == len(set(names))


def test_operators_of_another_version_are_refused(small: Path) -> None:
    model = onnx.load(small)
    network = take_network(model)
    network.opset_import[0].version += 1
    with pytest.raises(ExportError, match="expected operators of version 20, got a network of version 21"):
        put_network(model, network)


def test_a_graph_without_a_network_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="not an artifact"):
        take_network(onnx.load(write_tiny_artifact(tmp_path / "tiny.onnx")))


def test_a_failed_check_leaves_the_former_file(small: Path, tmp_path: Path) -> None:
    model, spec = read_artifact(small)
    target = tmp_path / "model.onnx"
    target.write_text("former")

    def check(path: Path) -> None:
        assert read_artifact(path)[1].name == "renamed"
        raise ExportError("no good")

    with pytest.raises(ExportError, match="no good"):
        write_artifact(with_spec(model, spec.model_copy(update={"name": "renamed"})), target, check)
    assert target.read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]

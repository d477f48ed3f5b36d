"""The artifact of a small network: names, shapes, metadata, any batch, and what is refused."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yoloscope.models.detector import Detector, detect
from yoloscope.models.errors import ExportError, ModelLoadError
from yoloscope.models.spec import METADATA_KEY, DetectorSpec, HeadSpec, LossSpec
from yoloscope.training.export import onnx as export
from yoloscope.training.export import parity
from yoloscope.training.export.artifact import read_artifact, read_spec
from yoloscope.training.export.onnx import build_artifact, export_onnx
from yoloscope.training.export.parity import ParityReport, check_parity
from yoloscope.training.export.surgery import take_network
from yoloscope.training.export.tracing import trace

WIDTH, HEIGHT = 48, 32


class Net(nn.Module):
    """Two heads of one convolution each."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.1))
        self.coarse = nn.Conv2d(8, 16, 8, 8)
        self.fine = nn.Conv2d(8, 8, 4, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(images)
        return self.coarse(features) * 3, self.fine(features) * 3


def make_spec() -> DetectorSpec:
    heads = (
        HeadSpec(kind="yolo", grid_width=3, grid_height=2, anchor_indices=(1, 2)),
        HeadSpec(kind="yolo", grid_width=6, grid_height=4, anchor_indices=(0,)),
    )
    return DetectorSpec(
        name="small",
        family="v4",
        class_names=("a", "b", "c"),
        input_width=WIDTH,
        input_height=HEIGHT,
        anchors_px=((8.0, 8.0), (16.0, 12.0), (24.0, 30.0)),
        heads=heads,
        loss=LossSpec(preset="v4"),
    )


@pytest.fixture(scope="module")
def network() -> Net:
    torch.manual_seed(3)
    return Net()


@pytest.fixture(scope="module")
def exported(network: Net, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ParityReport]:
    path = tmp_path_factory.mktemp("new") / "folder" / "small.onnx"
    return path, export_onnx(network, make_spec(), path)


@pytest.fixture
def session(exported: tuple[Path, ParityReport]) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(exported[0]), providers=["CPUExecutionProvider"])


def random_images(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)


def feeds(images: NDArray[np.uint8], score: float = 0.3, iou: float = 0.45) -> dict[str, NDArray[np.generic]]:
    n = len(images)
    return {
        "images": images,
        "score_threshold": np.full(n, score, np.float32),
        "iou_threshold": np.full(n, iou, np.float32),
    }


def test_names_types_and_shapes(session: onnxruntime.InferenceSession) -> None:
    described = {
        value.name: (value.type, len(value.shape)) for value in (*session.get_inputs(), *session.get_outputs())
    }
    assert described == {
        "images": ("tensor(uint8)", 4),
        "score_threshold": ("tensor(float)", 1),
        "iou_threshold": ("tensor(float)", 1),
        "num_detections": ("tensor(int64)", 1),
        "boxes": ("tensor(float)", 3),
        "scores": ("tensor(float)", 2),
        "class_ids": ("tensor(int64)", 2),
        "head_0": ("tensor(float)", 4),
        "head_1": ("tensor(float)", 4),
    }


def test_one_file_of_standard_operators_with_the_spec_inside(exported: tuple[Path, ParityReport]) -> None:
    path, _ = exported
    assert [entry.name for entry in path.parent.iterdir()] == ["small.onnx"]
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert {entry.key for entry in model.metadata_props} == {METADATA_KEY}
    assert read_spec(path) == make_spec()


def test_the_machine_that_exports_is_not_told(exported: tuple[Path, ParityReport]) -> None:
    content = exported[0].read_bytes()
    assert b"stack_trace" not in content
    assert str(Path(__file__).parents[3]).encode() not in content
    assert b"site-packages" not in content


@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_batch_gives_what_torch_gives(session: onnxruntime.InferenceSession, network: Net, count: int) -> None:
    given = feeds(random_images(count))
    outputs = session.run(None, given)
    with torch.inference_mode():
        wanted = Detector(network, make_spec()).eval()(*(torch.from_numpy(value) for value in given.values()))
    assert outputs[0].sum() > 0
    for got, tensor in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(got, tensor.numpy(), rtol=1e-4, atol=1e-4)


def test_nothing_found_gives_no_rows(session: onnxruntime.InferenceSession) -> None:
    counts, boxes, scores, class_ids = session.run(None, feeds(random_images(2), score=1.0))[:4]
    assert counts.tolist() == [0, 0]
    assert (boxes.shape, scores.shape, class_ids.shape) == ((2, 0, 4), (2, 0), (2, 0))


def test_thresholds_hold_per_image(session: onnxruntime.InferenceSession) -> None:
    given = feeds(np.repeat(random_images(1), 3, 0))
    given["score_threshold"] = np.array([0.9, 0.3, 0.05], np.float32)
    counts, _, scores, _ = session.run(None, given)[:4]
    assert counts[0] < counts[1] < counts[2] == scores.shape[1]
    for row, (count, threshold) in enumerate(zip(counts, given["score_threshold"], strict=True)):
        assert (scores[row, :count] > threshold).all()
        assert not scores[row, count:].any()


def test_float_images_to_heads(exported: tuple[Path, ParityReport], session: onnxruntime.InferenceSession) -> None:
    images = random_images(2)
    part = onnxruntime.InferenceSession(
        take_network(read_artifact(exported[0])[0]).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    floats = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255
    whole = session.run(["head_0", "head_1"], feeds(images))
    for got, wanted in zip(part.run(None, {"network_input": floats}), whole, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_the_report_tells_the_worst_errors(exported: tuple[Path, ParityReport]) -> None:
    report = exported[1]
    assert report.num_runs == 6
    assert 0 <= report.head_error <= 2e-4 < report.head_magnitude
    assert report.num_detections > 20
    assert "heads within" in str(report)


def test_a_network_that_differs_from_the_file_is_noticed(exported: tuple[Path, ParityReport], network: Net) -> None:
    other = Net()
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        other.state_dict()["fine.bias"][0] += 0.01
    report = check_parity(Detector(other, make_spec()), exported[0])
    assert report.head_error == pytest.approx(0.03, abs=1e-4)
    assert [text[:16] for text in report.differences] == ["head_1 by 0.03 w"] * 2, "one image, and a batch of three"
    assert str(report).count("warning: the file is written, but torch and onnxruntime differ") == 2


def test_other_suppression_in_torch_is_noticed(
    exported: tuple[Path, ParityReport], network: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedier(heads: tuple[Tensor, ...], spec: DetectorSpec, score: Tensor, iou: Tensor) -> object:
        return detect(heads, spec, score, iou / 10)

    monkeypatch.setattr(parity, "detect", greedier)
    differences = check_parity(Detector(network, make_spec()), exported[0]).differences
    assert differences
    assert all(
        re.fullmatch(r"torch finds \d+ detections, onnxruntime \d+ \(scores from .*\)", text) for text in differences
    )


def test_what_differs_is_written_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: tuple[Path, ParityReport]
) -> None:
    other = Net()
    monkeypatch.setattr(export, "build_artifact", lambda _: onnx.load(exported[0]))
    report = export_onnx(other, make_spec(), tmp_path / "model.onnx")
    assert report.differences
    assert (tmp_path / "model.onnx").read_bytes() == exported[0].read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]


def test_what_onnxruntime_cannot_open_leaves_no_file_and_the_old_one_alone(
    network: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = onnx.helper.make_node("NoSuchOperator", [], ["x"])
    output = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    broken = onnx.helper.make_model(onnx.helper.make_graph([node], "broken", [], [output]))
    monkeypatch.setattr(export, "build_artifact", lambda _: broken)
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        export_onnx(network, make_spec(), target)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]
    assert target.read_bytes() == b"old"


def test_weights_beyond_one_file_are_refused(network: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MAX_BYTES", 1000)
    with pytest.raises(ExportError, match="below 2 GiB"):
        build_artifact(Detector(network, make_spec()))


def test_a_file_without_a_spec_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bare.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "bare", [], [])), path)
    with pytest.raises(ExportError, match="expected the metadata 'yoloscope'"):
        read_spec(path)
    path.write_bytes(b"\xff\xff not onnx")
    with pytest.raises(ExportError, match="expected an ONNX file"):
        read_spec(path)


class Unexportable(nn.Module):
    """Branches on a value, which no graph can hold."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (images,) if images.sum() > 0 else (images * 2,)


def test_what_cannot_be_exported_is_told() -> None:
    with pytest.raises(ExportError, match="cannot be written as an ONNX graph: "):
        build_artifact(Detector(Unexportable(), make_spec()))


def test_exporting_says_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    trace(nn.Flatten(), (torch.rand(2, 3),), input_names=["x"], output_names=["y"], dynamic_shapes=[{}])
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

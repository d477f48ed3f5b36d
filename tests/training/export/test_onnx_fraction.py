"""Levels between the whole ones: a constant in the file, an input of the sessions that this project opens."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from tests.app.artifact import write_tiny_artifact
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.network import Network
from yoloscope.models.registry import build
from yoloscope.models.session import FRACTION_INPUT, fraction_input, open_session
from yoloscope.training.export.onnx import export_onnx
from yoloscope.training.export.tracing import renew_detections

LEVELS = np.random.default_rng(0).random((2, 64, 96, 3), np.float32) * 255


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return build("yolov4-tiny", num_classes=2, input_size=(96, 64)).eval()


@pytest.fixture(scope="module")
def artifact(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    export_onnx(network, network.spec, path)
    return path


def torch_heads(network: Network, levels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    with torch.inference_mode():
        return [head.numpy() for head in network(torch.from_numpy(levels).permute(0, 3, 1, 2) / 255)]


def test_plain_onnxruntime_sees_no_optional_input_and_warns_of_nothing(
    artifact: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    session = onnxruntime.InferenceSession(str(artifact), providers=["CPUExecutionProvider"])
    assert capfd.readouterr() == ("", "")
    assert [value.name for value in session.get_inputs()] == ["images", "score_threshold", "iou_threshold"]
    assert not session.get_overridable_initializers()


def test_plain_onnxruntime_computes_the_same(artifact: Path) -> None:
    whole = LEVELS.astype(np.uint8)
    plain = onnxruntime.InferenceSession(str(artifact), providers=["CPUExecutionProvider"])
    thresholds = {name: np.full(2, 0.5, np.float32) for name in ("score_threshold", "iou_threshold")}
    heads = plain.run(["head_0", "head_1"], {"images": whole, **thresholds})
    for got, expected in zip(heads, Runtime(artifact, "cpu").heads(whole), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_our_sessions_take_it_and_say_so(artifact: Path) -> None:
    assert fraction_input(open_session(artifact)) == "images_256ths"
    assert fraction_input(open_session(artifact.read_bytes())) == "images_256ths"


def test_the_appended_bytes_are_one_input_of_any_shape() -> None:
    axes = [f"fraction_{axis}" for axis in "bhwc"]
    value = onnx.helper.make_tensor_value_info("images_256ths", onnx.TensorProto.UINT8, axes)
    expected = onnx.ModelProto(graph=onnx.GraphProto(input=[value]))
    assert onnx.ModelProto.FromString(FRACTION_INPUT) == expected


@pytest.fixture(scope="module")
def of_before(artifact: Path) -> onnx.ModelProto:
    """The artifact as earlier versions wrote it: levels between the whole ones are an optional input."""
    model = onnx.load(artifact)
    model.ClearField("model_version")
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace("images_256ths", "images_fraction")
    for node in model.graph.node:
        node.input[:] = [name.replace("images_256ths", "images_fraction") for name in node.input]
    axes = [f"fraction_{axis}" for axis in "bhwc"]
    model.graph.input.append(onnx.helper.make_tensor_value_info("images_fraction", onnx.TensorProto.UINT8, axes))
    return model


def test_files_of_before_keep_their_input_and_may_be_opened_as_they_are(
    of_before: onnx.ModelProto, artifact: Path, tmp_path: Path
) -> None:
    (tmp_path / "old.onnx").write_bytes(of_before.SerializeToString())
    assert fraction_input(open_session(tmp_path / "old.onnx")) == "images_fraction"
    for got, expected in zip(
        Runtime(tmp_path / "old.onnx", "cpu").heads(LEVELS), Runtime(artifact, "cpu").heads(LEVELS), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def test_files_of_before_lose_it_when_they_are_renewed(
    of_before: onnx.ModelProto, artifact: Path, network: Network, tmp_path: Path
) -> None:
    (tmp_path / "new.onnx").write_bytes(renew_detections(of_before, network.spec).SerializeToString())
    assert fraction_input(open_session(tmp_path / "new.onnx")) == "images_256ths"
    thresholds = [0.01, 0.2], [0.4, 0.5]
    for got, expected in zip(
        Runtime(tmp_path / "new.onnx", "cpu").detect(LEVELS, *thresholds),
        Runtime(artifact, "cpu").detect(LEVELS, *thresholds),
        strict=True,
    ):
        np.testing.assert_array_equal(got.boxes_xyxy, expected.boxes_xyxy)
        np.testing.assert_array_equal(got.scores, expected.scores)


def test_float_levels_are_kept_to_half_a_256th(artifact: Path, network: Network) -> None:
    kept = np.floor(LEVELS * 256 + 0.5) / 256
    for got, expected in zip(Runtime(artifact, "cpu").heads(LEVELS), torch_heads(network, kept), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_whole_levels_are_taken_as_they_are(artifact: Path, network: Network) -> None:
    whole = LEVELS.astype(np.uint8)
    expected = torch_heads(network, whole.astype(np.float32))
    for got, wanted in zip(Runtime(artifact, "cpu").heads(whole), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_the_whole_range_survives_the_split(artifact: Path) -> None:
    runtime = Runtime(artifact, "cpu")
    ends = np.stack([np.zeros((64, 96, 3), np.uint8), np.full((64, 96, 3), 255, np.uint8)])
    for whole, split in zip(runtime.heads(ends), runtime.heads(ends.astype(np.float32)), strict=True):
        np.testing.assert_array_equal(whole, split)


def test_an_artifact_without_it_gets_rounded_levels(tmp_path: Path) -> None:
    runtime = Runtime(write_tiny_artifact(tmp_path / "tiny.onnx"), "cpu")
    height, width = runtime.spec.input_height, runtime.spec.input_width
    levels = np.random.default_rng(1).random((1, height, width, 3), np.float32) * 254
    rounded = np.floor(levels + 0.5).astype(np.uint8)
    for got, expected in zip(runtime.heads(levels), runtime.heads(rounded), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_exporting_leaves_the_mode_of_every_part_alone(tmp_path: Path) -> None:
    network = build("yolov4-tiny", num_classes=1, input_size=(32, 32), width=0.125)
    parts = list(network.modules())
    parts[3].eval()
    before = [part.training for part in parts]
    export_onnx(network, network.spec, tmp_path / "a.onnx")
    assert [part.training for part in parts] == before

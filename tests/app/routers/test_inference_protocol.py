"""The Open Inference Protocol by Triton's own client, unmodified, over a socket."""

import base64
import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests.app.artifact import BOXES, CLASS_IDS, SIDE, write_tiny_artifact
from tests.app.client import Client, served
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings


@pytest.fixture(scope="module")
def address(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("controlled")
    for name in ("tiny", "other", "broken"):
        shutil.copy(models_dir / f"{name}.onnx", folder)
    with served(
        create_app(
            Settings(models_dir=folder, model="tiny", provider="cpu", threads=1, max_images=4, model_control="explicit")
        )
    ) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(address.removeprefix("http://"))
    yield client
    client.close()


@pytest.fixture
def version(address: str) -> str:
    version: str = httpx.get(f"{address}/v1/models/tiny").json()["version"]
    return version


def tensor(name: str, values: NDArray[Any], datatype: str, *, binary: bool) -> triton.InferInput:
    given = triton.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def gray(count: int) -> NDArray[np.uint8]:
    """Images of brightness 51/255 = .2: the first candidate has .6."""
    return np.full((count, SIDE, SIDE, 3), 51, np.uint8)


def test_health_and_metadata(client: triton.InferenceServerClient, version: str) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == [
        "binary_tensor_data",
        "model_configuration",
        "model_repository",
        "statistics",
    ]
    assert client.is_model_ready("tiny", version)
    assert not client.is_model_ready("tiny", "0")
    assert not client.is_model_ready("nope")
    assert client.get_model_metadata("tiny", version) == {
        "name": "tiny",
        "versions": [version],
        "platform": "onnx_onnxv1",
        "inputs": [
            {"name": "images", "datatype": "UINT8", "shape": [-1, 32, 32, 3]},
            {"name": "score_threshold", "datatype": "FP32", "shape": [-1]},
            {"name": "iou_threshold", "datatype": "FP32", "shape": [-1]},
        ],
        "outputs": [
            {"name": "num_detections", "datatype": "INT64", "shape": [-1]},
            {"name": "boxes", "datatype": "FP32", "shape": [-1, -1, 4]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, -1]},
            {"name": "class_ids", "datatype": "INT64", "shape": [-1, -1]},
            {"name": "head_0", "datatype": "FP32", "shape": [-1, 8, 2, 2]},
        ],
    }
    config = client.get_model_config("tiny_detect")
    assert config["input"] == [{"name": "image_bytes", "data_type": "TYPE_STRING", "dims": [-1], "optional": False}]
    assert json.loads(config["parameters"]["class_names"]["string_value"]) == ["cat", "dog", "traffic light"]


@pytest.mark.parametrize("binary", [True, False])
def test_raw_tensors_in_json_and_in_bytes(client: triton.InferenceServerClient, version: str, binary: bool) -> None:  # noqa: FBT001
    inputs = [
        tensor("images", gray(2), "UINT8", binary=binary),
        tensor("score_threshold", np.array([0.25, 0.45], np.float32), "FP32", binary=binary),
        tensor("iou_threshold", np.array([0.5, 0.5], np.float32), "FP32", binary=binary),
    ]
    names = ("num_detections", "boxes", "scores", "class_ids", "head_0")
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    result = client.infer("tiny", inputs, model_version=version, request_id="42", outputs=outputs)
    response = result.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == ("tiny", version, "42")
    assert result.as_numpy("num_detections").tolist() == [3, 2]
    assert result.as_numpy("boxes").tolist() == [[list(box) for box in BOXES]] * 2
    np.testing.assert_allclose(result.as_numpy("scores"), [[0.6, 0.5, 0.375, 0.125]] * 2, rtol=1e-6)
    assert result.as_numpy("class_ids").tolist() == [list(CLASS_IDS)] * 2
    assert result.as_numpy("head_0").tolist() == np.full((2, 8, 2, 2), 0.25).tolist()
    assert result.as_numpy("boxes").dtype == np.float32


def test_without_outputs_all_come_in_bytes(client: triton.InferenceServerClient) -> None:
    result = client.infer("tiny", [tensor("images", gray(1), "UINT8", binary=True)])
    outputs = {item["name"]: item["parameters"]["binary_data_size"] for item in result.get_response()["outputs"]}
    assert outputs == {"num_detections": 8, "boxes": 64, "scores": 16, "class_ids": 32, "head_0": 128}
    assert result.as_numpy("num_detections").tolist() == [3]


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_encoded_images_become_detections(
    client: triton.InferenceServerClient, gray_png: bytes, compression: str | None
) -> None:
    """The network sees 32x32, the image has 64x48: boxes are twice and one and a half times as large."""
    images = np.array([gray_png, gray_png], object)
    result = client.infer(
        "tiny_detect",
        [tensor("image_bytes", images, "BYTES", binary=True)],
        parameters={"score_threshold": 0.55},
        request_compression_algorithm=compression,
    )
    assert result.as_numpy("image_index").tolist() == [0, 1]
    assert result.as_numpy("class_ids").tolist() == [0, 0]
    assert result.as_numpy("class_names").tolist() == [b"cat", b"cat"]
    assert result.as_numpy("boxes").tolist() == [[8.0, 12.0, 40.0, 36.0]] * 2
    np.testing.assert_allclose(result.as_numpy("scores"), [0.6, 0.6], rtol=1e-6)


def test_base64_in_json_and_a_raw_image_are_encoded_images(address: str, gray_png: bytes) -> None:
    body = {
        "inputs": [
            {"name": "image_bytes", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(gray_png).decode()]}
        ],
        "outputs": [{"name": "scores"}, {"name": "class_names"}],
        "parameters": {"max_detections": 1},
    }
    url = f"{address}/v2/models/tiny_detect/infer"
    outputs = httpx.post(url, json=body).json()["outputs"]
    assert outputs[0] == {"name": "scores", "datatype": "FP32", "shape": [1], "data": [pytest.approx(0.6)]}
    assert outputs[1] == {"name": "class_names", "datatype": "BYTES", "shape": [1], "data": ["cat"]}
    raw = httpx.post(url, content=gray_png, headers={"Inference-Header-Content-Length": "0"})
    header = json.loads(raw.content[: int(raw.headers["Inference-Header-Content-Length"])])
    assert {item["name"]: item["shape"] for item in header["outputs"]}["boxes"] == [3, 4]


def test_statistics_count_images_runs_and_times(models_dir: Path) -> None:
    with served(create_app(Settings(models_dir=models_dir, model="tiny", provider="cpu", threads=1))) as url:
        client = triton.InferenceServerClient(url.removeprefix("http://"))
        client.infer("tiny", [tensor("images", gray(3), "UINT8", binary=True)])
        (found,) = client.get_inference_statistics("tiny")["model_stats"]
        (listed,) = client.get_inference_statistics()["model_stats"]
        client.close()
    assert found == listed
    assert (found["inference_count"], found["execution_count"]) == (3, 3)
    assert found["inference_stats"]["success"]["count"] == 1
    assert found["inference_stats"]["compute_infer"]["count"] == 1
    assert found["inference_stats"]["compute_infer"]["ns"] > 0
    assert found["inference_stats"]["fail"] == {"count": 0, "ns": 0}
    assert found["last_inference"] > 1.6e12


def test_models_are_unloaded_and_loaded_by_name(client: triton.InferenceServerClient) -> None:
    def states() -> dict[str, str]:
        return {entry["name"]: entry["state"] for entry in client.get_model_repository_index()}

    client.load_model("other")
    assert states()["other"] == states()["other_detect"] == "READY"
    client.unload_model("other")
    assert not client.is_model_ready("other")
    assert states()["other"] == "UNAVAILABLE"
    with pytest.raises(InferenceServerException, match="unloaded"):
        client.infer("other", [tensor("images", gray(1), "UINT8", binary=True)])
    client.load_model("other")
    assert client.is_model_ready("other")
    assert client.infer("other", [tensor("images", gray(1), "UINT8", binary=True)]).as_numpy("boxes") is not None
    with pytest.raises(InferenceServerException, match="not an ONNX model"):
        client.load_model("broken")
    with pytest.raises(InferenceServerException, match="by name alone"):
        client.load_model("other", config="{}")
    with pytest.raises(InferenceServerException, match="expected one of the models"):
        client.unload_model("nope")


def test_a_new_file_is_loaded_at_once_and_a_broken_one_leaves_the_old_at_work(tmp_path: Path) -> None:
    path = write_tiny_artifact(tmp_path / "tiny.onnx")
    settings = Settings(models_dir=tmp_path, model="tiny", provider="cpu", threads=1, model_control="explicit")
    with Client(create_app(settings)) as client:
        before = client.get("/v2/models/tiny").json()["versions"]
        fresh = write_tiny_artifact(tmp_path / "new" / "renamed.onnx")
        fresh.replace(path)
        assert client.post("/v2/repository/models/tiny/load").status_code == 200
        after = client.get("/v2/models/tiny").json()["versions"]
        assert after != before
        path.write_bytes(b"broken")
        refused = client.post("/v2/repository/models/tiny/load")
        assert (refused.status_code, list(refused.json())) == (503, ["error"])
        assert client.get("/v2/models/tiny").json()["versions"] == after


def test_an_unloaded_default_model_is_not_ready(models_dir: Path) -> None:
    settings = Settings(models_dir=models_dir, model="tiny", provider="cpu", threads=1, model_control="explicit")
    with Client(create_app(settings)) as client:
        client.post("/v2/repository/models/tiny/unload")
        for path in ("/health/ready", "/v2/health/ready"):
            answer = client.get(path)
            assert (answer.status_code, "unloaded" in answer.text) == (503, True)
        assert next(m for m in client.get("/v1/models").json()["models"] if m["name"] == "tiny")["problem"]
        client.post("/v2/repository/models/tiny/load")
        assert client.get("/v2/health/ready").json() == {"ready": True}


@pytest.fixture(scope="module")
def usual(settings: Settings) -> Iterator[Client]:
    with Client(create_app(settings)) as client:
        yield client


IMAGES = {"name": "images", "shape": [1, SIDE, SIDE, 3], "datatype": "UINT8", "data": [0] * (SIDE * SIDE * 3)}


@pytest.mark.parametrize(
    ("method", "path", "arguments", "status", "words"),
    [
        ("GET", "/v2/models/nope", {}, 404, "expected one of the models tiny, broken, builtin, other, got 'nope'"),
        ("GET", "/v2/models/tiny/versions/1", {}, 404, "expected the version"),
        ("GET", "/v2/nowhere", {}, 404, "Nothing matches"),
        ("GET", "/v2/models/tiny/infer", {}, 405, "invalid for this resource"),
        ("POST", "/v2/models/tiny/infer", {"content": b"{"}, 400, "expected a JSON body"),
        ("POST", "/v2/models/tiny/infer", {"content": b"[NaN]"}, 400, "NaN is not JSON"),
        ("POST", "/v2/models/tiny/infer", {"json": {}}, 400, "/inputs: Field required"),
        ("POST", "/v2/models/broken/infer", {"json": {"inputs": [IMAGES]}}, 503, "not an ONNX model"),
        ("POST", "/v2/models/tiny/infer", {"json": {"inputs": [IMAGES | {"name": "x"}]}}, 400, "/inputs/0/name: exp"),
        ("POST", "/v2/models/tiny/infer", {"content": b"x" * 1_000_001}, 413, "at most 1000000 bytes"),
        ("POST", "/v2/models/tiny/infer", {"content": b"x", "headers": {"content-encoding": "br"}}, 400, "gzip"),
        (
            "POST",
            "/v2/models/tiny/infer",
            {"json": {"inputs": [IMAGES | {"shape": [5, 32, 32, 3], "data": [0] * 5 * 32 * 32 * 3}]}},
            413,
            "expected at most 4 images, got 5",
        ),
        (
            "POST",
            "/v2/models/tiny_detect/infer",
            {"content": b"no image", "headers": {"Inference-Header-Content-Length": "0"}},
            400,
            "/inputs/0/data/0: expected one of JPEG",
        ),
        (
            "POST",
            "/v2/models/tiny/infer",
            {"json": {"inputs": [IMAGES | {"data": np.zeros((3, SIDE, SIDE, 1), int).tolist()}]}},
            400,
            f"/inputs/0/data: expected {3 * SIDE * SIDE} numbers, flat or nested as the shape [1, {SIDE},",
        ),
        (
            "POST",
            "/v2/models/tiny/infer",
            {"json": {"inputs": [IMAGES], "parameters": {"binary_data_output": "false"}}},
            400,
            "/parameters/binary_data_output: expected true or false, got 'false'",
        ),
        (
            "POST",
            "/v2/models/tiny/infer",
            {"json": {"inputs": [IMAGES], "outputs": [{"name": "scores", "parameters": {"binary_data": 0}}]}},
            400,
            "/outputs/0/parameters/binary_data: expected true or false, got 0",
        ),
        (
            "POST",
            "/v2/models/tiny/infer",
            {"content": b'{"inputs": []}\xa6\xff'},
            400,
            "Inference-Header-Content-Length says how many bytes of a body are JSON where others follow; got none",
        ),
        (
            "POST",
            "/v2/models/tiny/infer",
            {"content": b'{"inputs": []}\0\0', "headers": {"Inference-Header-Content-Length": "15"}},
            400,
            "Inference-Header-Content-Length says how many bytes of a body are JSON where others follow; got 15",
        ),
        ("POST", "/v2/repository/models/tiny/unload", {}, 403, "YOLOSCOPE_MODEL_CONTROL=explicit"),
    ],
)
def test_refusals_are_one_error_in_words(
    usual: Client, method: str, path: str, arguments: dict[str, Any], status: int, words: str
) -> None:
    answer = usual.request(method, path, **arguments)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


def test_no_wanted_outputs_are_all(usual: Client) -> None:
    everything = usual.post("/v2/models/tiny/infer", json={"inputs": [IMAGES]}).json()
    assert everything["outputs"]
    assert usual.post("/v2/models/tiny/infer", json={"inputs": [IMAGES], "outputs": []}).json() == everything


def test_a_full_queue_refuses_before_the_body_is_read(settings: Settings) -> None:
    with Client(create_app(settings.model_copy(update={"queue_limit": 1}))) as client:
        with client.app.state.services.limiter.hold(1):
            answer = client.post("/v2/models/tiny/infer", json={"inputs": [IMAGES]})
        assert (answer.status_code, list(answer.json())) == (503, ["error"])
        assert answer.headers["retry-after"] == "1"
        assert client.post("/v2/models/tiny/infer", json={"inputs": [IMAGES]}).status_code == 200


def test_a_compressed_body_that_grows_without_end_is_refused(usual: Client) -> None:
    body = gzip.compress(bytes(20_000_000))
    answer = usual.post("/v2/models/tiny/infer", content=body, headers={"content-encoding": "gzip"})
    assert (answer.status_code, list(answer.json())) == (413, ["error"])

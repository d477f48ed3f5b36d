"""GET /v1/models and /v1/models/{name}."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.app.artifact import tiny_spec
from tests.app.client import Client
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings
from yoloscope.models.spec import DetectorSpec


def test_models_are_listed_and_loaded_by_use(settings: Settings) -> None:
    with Client(create_app(settings)) as client:
        before = client.get("/v1/models").json()
        assert before["default"] == "tiny"
        assert [model["name"] for model in before["models"]] == ["tiny", "broken", "builtin", "other"]
        assert [model["loaded"] for model in before["models"]] == [True, False, False, False]
        assert "version" in before["models"][0]
        client.get("/v1/models/other")
        after = client.get("/v1/models").json()
        assert [model["loaded"] for model in after["models"]] == [True, False, False, True]


def test_a_model_tells_its_whole_description(client: Client, models_dir: Path) -> None:
    document = client.get("/v1/models/tiny").json()
    sha256 = hashlib.sha256((models_dir / "tiny.onnx").read_bytes()).hexdigest()
    assert document["sha256"] == sha256
    assert document["version"] == sha256[:12]
    assert (document["default"], document["provider"]) == (True, "cpu")
    assert DetectorSpec.model_validate(document["spec"]) == tiny_spec()


def test_models_that_cannot_be_had(client: Client) -> None:
    assert client.get("/v1/models/nope").status_code == 404
    assert client.get("/v1/models/..%2Ftiny").status_code == 404
    assert client.get("/v1/models/broken").status_code == 503
    assert client.get("/v1/models/" + "x" * 500).status_code == 422


def test_every_printable_name_of_a_file_is_served(settings: Settings, models_dir: Path, tmp_path: Path) -> None:
    for name in ("tiny", "my model (2)", "çedille", ".hidden", "new\nline", os.fsdecode(b"\xff")):
        shutil.copy(models_dir / "tiny.onnx", tmp_path / f"{name}.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with Client(create_app(settings.model_copy(update={"models_dir": tmp_path}))) as client:
        served = [model["name"] for model in client.get("/v1/models").json()["models"]]
        assert served == ["tiny", "builtin", "my model (2)", "çedille"]
        assert [client.get(f"/v1/models/{name}").status_code for name in served] == [200] * 4
        assert {client.get(f"/v1/models/{name}").status_code for name in (".hidden", "folder", "é" * 200)} == {404}


def test_head_is_get_without_its_body(client: Client) -> None:
    for path in ("/health/live", "/health/ready", "/v1/models", "/v1/models/tiny", "/openapi.json", "/v1/models/nope"):
        got, head = client.get(path), client.request("HEAD", path)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        for name in ("content-length", "content-type"):
            assert head.headers[name] == got.headers[name], path
    refused = client.request("HEAD", "/v1/detect")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_a_fallback_is_listed_and_logged(
    settings: Settings, models_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    without = settings.model_copy(update={"models_dir": tmp_path, "model": None})
    with Client(create_app(without)) as client:
        assert client.get("/v1/models").json()["fallback_for"] == "yolov4-tiny"
    assert "yolov4-tiny is not there: the built-in model takes its place" in caplog.text
    with Client(create_app(settings)) as client:
        assert client.get("/v1/models").json()["fallback_for"] is None
    shutil.copy(models_dir / "tiny.onnx", tmp_path / "yolov4-tiny.onnx")
    with Client(create_app(without)) as client:
        assert client.get("/v1/models").json()["fallback_for"] is None

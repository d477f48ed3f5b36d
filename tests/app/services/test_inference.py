"""Classes by name or id, and images of other planes than RGB."""

from pathlib import Path

import numpy as np
import pytest

from tests.app.artifact import SIDE, write_tiny_artifact
from tests.app.client import Client
from yoloscope.app.main import create_app
from yoloscope.app.services.inference import resolve_classes
from yoloscope.app.settings import Settings
from yoloscope.models.errors import RequestError


def test_classes_by_name_come_before_ids() -> None:
    assert resolve_classes(["1", 1, "b"], ("1", "b", "b")) == {0, 1}
    with pytest.raises(RequestError, match="'x', 3, '-1', '²'"):
        resolve_classes(["x", 3, "-1", "²"], ("a", "b", "c"))


def test_a_model_of_four_planes_takes_tensors_and_refuses_image_files(tmp_path: Path, gray_png: bytes) -> None:
    """The first candidate of the tiny model has .5 + brightness / 2, and 51 / 255 is .2."""
    write_tiny_artifact(tmp_path / "thermal.onnx", planes=4)
    levels = np.full((1, SIDE, SIDE, 4), 51, np.uint8)
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, SIDE, SIDE, 4], "data": levels.ravel().tolist()}
    with Client(create_app(Settings(models_dir=tmp_path, model="thermal", provider="cpu", threads=1))) as client:
        refused = client.post("/v1/detect", content=gray_png, headers={"content-type": "image/png"})
        assert refused.status_code == 415
        assert "expected an image of 4 planes, got one of 3" in refused.json()["detail"]
        assert f"images [B, {SIDE}, {SIDE}, 4] to /v2/models/NAME/infer" in refused.json()["detail"]
        answer = client.post("/v2/models/thermal/infer", json={"inputs": [tensor]}).json()
    scores = next(output for output in answer["outputs"] if output["name"] == "scores")
    assert scores["data"] == pytest.approx([0.6, 0.5, 0.375, 0.125])

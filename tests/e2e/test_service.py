"""From official darknet weights to boxes over HTTP: what darknet finds on its own sample image."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import Service, start_service
from tests.helpers.images import stored_with_orientation

DARKNET = {"dog": 0.835, "truck": 0.780, "bicycle": 0.605, "car": 0.456}
"""Classes and probabilities that darknet prints for dog.jpg at .25; decoders differ by up to .014."""
SCORE_TOLERANCE = 0.014
BOX_TOLERANCE = 0.002


@pytest.fixture(scope="module")
def dog(oracles_dir: Path) -> Path:
    return oracles_dir / "images" / "dog.jpg"


@pytest.fixture(scope="module")
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


def check(document: dict[str, Any]) -> None:
    (result,) = document["results"]
    assert result["image"] == {"width": 768, "height": 576}
    found = {detection["class_name"]: detection["score"] for detection in result["detections"]}
    assert len(result["detections"]) == len(DARKNET)
    assert found == pytest.approx(DARKNET, abs=SCORE_TOLERANCE)
    assert list(found) == list(DARKNET)


def boxes_of(document: dict[str, Any]) -> np.ndarray:
    rows = document["results"][0]["detections"]
    return np.array([[row["box"][key] for key in ("x1", "y1", "x2", "y2")] for row in rows])


def test_the_three_kinds_of_body(http: httpx.Client, dog: Path) -> None:
    data = dog.read_bytes()
    answers = [
        http.post("/v1/detect", files={"image": ("dog.jpg", data, "image/jpeg")}).json(),
        http.post("/v1/detect", content=data, headers={"content-type": "image/jpeg"}).json(),
        http.post("/v1/detect", json={"image": base64.b64encode(data).decode()}).json(),
    ]
    for answer in answers:
        check(answer)
        assert answer["results"] == answers[0]["results"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_same_with_curl(service: Service, dog: Path, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"image": base64.b64encode(dog.read_bytes()).decode()}))
    for arguments in (
        ["-F", f"image=@{dog}"],
        ["-H", "Content-Type: image/jpeg", "--data-binary", f"@{dog}"],
        ["-H", "Content-Type: application/json", "--data-binary", f"@{body}"],
    ):
        run = subprocess.run(
            ["curl", "-sS", *arguments, f"{service.url}/v1/detect"], capture_output=True, check=True, text=True
        )
        check(json.loads(run.stdout))


def test_boxes_are_darknets(http: httpx.Client, dog: Path, oracles_dir: Path) -> None:
    document = http.post("/v1/detect", content=dog.read_bytes()).json()
    oracle = json.loads((oracles_dir / "darknet_out" / "yolov4-tiny" / "dog.json").read_text())
    expected = np.array([row["xyxy_px"] for row in oracle["results"]["0.25"]["diounms_beta0.6"]])
    scale = np.array([768, 576, 768, 576])
    np.testing.assert_allclose(boxes_of(document) / scale, expected / scale, atol=BOX_TOLERANCE)


def test_every_orientation_gives_the_same_boxes(http: httpx.Client, dog: Path) -> None:
    with Image.open(dog) as image:
        upright = image.convert("RGB")
    reference = boxes_of(http.post("/v1/detect", content=stored_with_orientation(upright, 1, "PNG")).json())
    for orientation in range(2, 9):
        document = http.post("/v1/detect", content=stored_with_orientation(upright, orientation, "PNG")).json()
        check(document)
        np.testing.assert_allclose(boxes_of(document), reference, atol=1)


def test_options_reach_the_model(http: httpx.Client, dog: Path) -> None:
    data = dog.read_bytes()
    only = http.post("/v1/detect?classes=dog&format=coco", content=data).json()["results"][0]["detections"]
    assert [entry["category_id"] for entry in only] == [18]
    assert len(http.post("/v1/detect?score_threshold=0.01", content=data).json()["results"][0]["detections"]) > 10


def test_the_annotated_image(http: httpx.Client, dog: Path) -> None:
    response = http.post("/v1/detect", content=dog.read_bytes(), headers={"accept": "image/jpeg"})
    with Image.open(BytesIO(response.content)) as image, Image.open(dog) as original:
        assert image.size == (768, 576)
        difference = np.abs(np.asarray(image, np.int64) - np.asarray(original, np.int64)).max(axis=2)
    assert 0.005 < (difference > 60).mean() < 0.1


def test_ready_and_described(http: httpx.Client, service: Service) -> None:
    ready = http.get("/health/ready").json()
    assert (ready["model"], ready["provider"]) == ("yolov4-tiny", "cpu")
    spec = http.get("/v1/models/yolov4-tiny").json()["spec"]
    assert (spec["input_width"], len(spec["class_names"]), spec["class_names"][16]) == (416, 80, "dog")
    assert spec["source"]["sha256"].startswith("cf9fbfd0f6d4869b")
    assert f"curl -F image=@image.jpg {service.url}/v1/detect" in service.announcement


@pytest.mark.usefixtures("service")
def test_sigterm_lets_requests_finish_and_exits_with_0(models_dir: Path, dog: Path) -> None:
    draining = start_service(YOLOSCOPE_MODELS_DIR=str(models_dir), YOLOSCOPE_DRAIN_S="3")
    with httpx.Client(base_url=draining.url, timeout=60) as client:
        assert client.get("/health/ready").status_code == 200
        draining.process.terminate()
        while client.get("/health/ready").status_code == 200:
            time.sleep(0.01)
        check(client.post("/v1/detect", content=dog.read_bytes()).json())
    assert draining.stop() == 0


@pytest.mark.usefixtures("service")
def test_a_stop_right_after_the_start_is_a_success(models_dir: Path) -> None:
    """The half of the threads' session is still being opened then: taken apart beneath it, Python crashes."""
    for _ in range(3):
        service = start_service(YOLOSCOPE_MODELS_DIR=str(models_dir), YOLOSCOPE_THREADS="4")
        assert service.stop() == 0

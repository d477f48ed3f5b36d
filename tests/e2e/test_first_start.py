"""The first start: pulling when something is at hand, and exact advice when nothing is."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx

from tests.e2e.conftest import Service, environment, start_service

NOWHERE = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
BLOOD = Path(__file__).parents[2] / "docs" / "images" / "blood.jpg"
DRAWN = {"RBC": 17, "WBC": 1, "Platelets": 4}
"""What docs/images/blood.py draws."""
SCORE_TOLERANCE = 0.014
"""Pillow's JPEG decoder is not darknet's."""


def yoloscope(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "yoloscope.app.cli", *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def test_serve_pulled_the_default_model_by_itself(service: Service, models_dir: Path) -> None:
    assert (models_dir / "yolov4-tiny.onnx").is_file()
    assert not list(models_dir.glob(".*"))
    assert "torch against onnxruntime" in service.announcement


def test_without_weights_and_network_it_serves_the_built_in_model(tmp_path: Path) -> None:
    service = start_service(YOLOSCOPE_MODELS_DIR=str(tmp_path / "models"), **NOWHERE)
    try:
        assert "YOLOSCOPE_WEIGHTS" in service.announcement
        assert "yolov4-tiny is out of reach" in service.announcement
        with BLOOD.open("rb") as image:
            answer = httpx.post(f"{service.url}/v1/detect", files={"image": image}, timeout=60).json()
    finally:
        assert service.stop() == 0
    assert answer["model"] == "builtin"
    (result,) = answer["results"]
    found = Counter(row["class_name"] for row in result["detections"] if row["score"] > 0.5)
    assert found["WBC"] == DRAWN["WBC"]
    assert abs(found["RBC"] - DRAWN["RBC"]) <= 3
    assert abs(found["Platelets"] - DRAWN["Platelets"]) <= 1


def test_a_model_that_is_named_and_out_of_reach_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    run = yoloscope("serve", "--model", "yolov4-tiny", YOLOSCOPE_MODELS_DIR=str(tmp_path / "models"), **NOWHERE)
    assert run.returncode == 4
    assert "Traceback" not in run.stderr
    for needed in ("releases/download/darknet_yolo_v4_pre/yolov4-tiny.weights", "24251276 bytes", "YOLOSCOPE_WEIGHTS"):
        assert needed in run.stderr


def test_an_imported_model_is_served_by_its_name(oracles_dir: Path, tmp_path: Path) -> None:
    folder = oracles_dir / "weights" / "yolo-fastest"
    names = str(oracles_dir / "names" / "coco.names")
    arguments = (str(folder / "yolo-fastest-1.1.cfg"), str(folder / "yolo-fastest-1.1.weights"), "--names", names)
    run = yoloscope("import-darknet", *arguments, YOLOSCOPE_MODELS_DIR=str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert "yolo-fastest-1.1 " in run.stderr or "yolo-fastest-1.1\n" in run.stderr
    dog = str(oracles_dir / "images" / "dog.jpg")
    detected = yoloscope("detect", dog, "-m", "yolo-fastest-1.1", "--json", YOLOSCOPE_MODELS_DIR=str(tmp_path))
    assert detected.returncode == 0, detected.stderr
    oracle = json.loads((oracles_dir / "darknet_out" / "yolo-fastest-1.1" / "dog.json").read_text())
    (result,) = json.loads(detected.stdout)["results"]
    found = [(row["class_name"], row["score"]) for row in result["detections"]]
    clear = [row for row in oracle["results"]["0.25"]["diounms_beta0.6"] if row["prob"] > 0.25 + SCORE_TOLERANCE]
    assert len(clear) > 5
    for row in clear:
        assert any(name == row["class_name"] and abs(score - row["prob"]) < SCORE_TOLERANCE for name, score in found)

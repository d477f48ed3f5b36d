"""The official yolov4-tiny on coco128, evaluated by the command and by pycocotools."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Service, environment
from tests.training.evaluation.oracle import pycocotools_numbers

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def test_ap_of_the_official_yolov4_tiny(service: Service, models_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    assert (models_dir / "yolov4-tiny.onnx").is_file(), service.announcement
    data, predictions = data_dir / "coco128", tmp_path / "predictions.json"
    command = [
        sys.executable,
        "-m",
        "yoloscope.app.cli",
        "evaluate",
        "yolov4-tiny",
        "--data",
        str(data),
        "--split",
        "train",
    ]
    command += ["--json", "--predictions", str(predictions), "--html", str(tmp_path / "page.html")]
    run = subprocess.run(
        command, env=environment(YOLOSCOPE_MODELS_DIR=str(models_dir)), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    numbers = json.loads(run.stdout)
    assert numbers["AP"] == pytest.approx(0.305, abs=0.002)
    assert numbers["AP50"] == pytest.approx(0.516, abs=0.002)
    expected, _ = pycocotools_numbers(data / "instances_train2017.json", json.loads(predictions.read_text()))
    assert [numbers[name] for name in NAMES] == pytest.approx(expected, abs=1e-9)
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<!doctype html>")

"""``yoloscope models``."""

import json
from pathlib import Path

import pytest

from tests.app.commands.conftest import Run


def test_what_is_there_and_what_can_be_pulled(run: Run, models_dir: Path) -> None:
    document = json.loads(run("models", "--json").stdout)
    assert document["models_dir"] == str(models_dir)
    by_name = {model["name"]: model for model in document["models"]}
    assert document["models"][0]["name"] == "builtin"
    assert by_name["builtin"]["default"]
    assert by_name["builtin"]["class_names"] == ["Platelets", "RBC", "WBC"]
    assert by_name["tiny"]["input"] == "32x32"
    assert by_name["tiny"]["path"] == str(models_dir / "tiny.onnx")
    assert "broken.onnx" in by_name["broken"]["error"]
    assert by_name["yolov4"]["source"] == "to pull"
    assert len(by_name["yolov4"]["class_names"]) == 80


def test_tables_fit_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("models").stdout.splitlines()
    assert max(len(line) for line in lines if "│" in line) <= 80
    assert any("tiny" in line and "models folder" in line for line in lines)


def test_the_built_in_model_is_the_default_where_no_other_can_be_had(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "builtin (default offline)" in run("models").stdout
    monkeypatch.setenv("YOLOSCOPE_MODEL", "builtin")
    assert "builtin (default)" in run("models").stdout


def test_classes_on_request(run: Run) -> None:
    assert "builtin: Platelets, RBC, WBC" in run("models", "--classes").stdout

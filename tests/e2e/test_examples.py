"""The examples run as they are: against a real service, on small data."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import Service

EXAMPLES = ROOT / "examples"


def test_own_loss(capsys: pytest.CaptureFixture[str]) -> None:
    report = runpy.run_path(str(EXAMPLES / "own_loss.py"))["main"]()
    shown = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert {"xy", "wh", "objectness", "no_objectness", "classification"} <= shown.keys()
    assert sum(map(float, shown.values())) == pytest.approx(report.total.item(), abs=1e-3)


def test_the_notebook(tmp_path: Path) -> None:
    """Its cells in order, in a process of their own; a moved label costs more than the right one."""
    cells = json.loads((EXAMPLES / "train_on_voc.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    environment = {**os.environ, "EXAMPLE_FOLDER": str(tmp_path / "squares"), "EXAMPLE_EPOCHS": "20"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert (tmp_path / "run" / "model.onnx").is_file()
    moved, right = (float(word) for word in run.stdout.splitlines()[-1].split(" against "))
    assert moved > right


def test_the_rest_examples(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sample's stop sign is found, and its right label is the one object that is listed."""
    sample = ROOT / "docs" / "images" / "sample.jpg"
    runpy.run_path(str(EXAMPLES / "detect_over_rest.py"))["main"](service.url, str(sample))
    assert "stop sign" in capsys.readouterr().out
    labels = tmp_path / "sample.txt"
    labels.write_text("11 .5 .5 .2 .2\n")
    runpy.run_path(str(EXAMPLES / "score_labels.py"))["main"](service.url, str(sample), str(labels))
    assert "stop sign (label 0)" in capsys.readouterr().out


def test_a_loss_of_one_s_own_is_the_service_s(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    difference = runpy.run_path(str(EXAMPLES / "check_a_loss.py"))["main"](service.url)
    assert difference < 1e-6
    assert "largest difference of loss and gradient" in capsys.readouterr().out

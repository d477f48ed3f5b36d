"""The service and all commands but train and search work where the extra ``train`` is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BLOOD = str(ROOT / "docs" / "images" / "blood.jpg")
WITHOUT = """
import sys
for name in ("lightning", "tensorboard", "pytorch_lightning", "torchmetrics"):
    sys.modules[name] = None  # as if it were not installed
"""
COMMAND = "from yoloscope.app.cli import main; sys.argv[0] = 'yoloscope'; main()"


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["train", "search"])
def test_what_trains_names_the_extra(command: str, tmp_path: Path) -> None:
    run = _run(COMMAND, command, "--data", str(tmp_path))
    assert run.returncode == 2
    assert run.stderr.startswith("yoloscope: ")
    assert "pip install 'yoloscope[train]'" in run.stderr
    assert "Traceback" not in run.stderr


def test_models_are_run_scored_and_exported(tmp_path: Path) -> None:
    labels = tmp_path / "blood.txt"
    labels.write_text("2 0.5 0.5 0.35 0.44\n")
    half = tmp_path / "half.onnx"
    for arguments in (
        ["detect", BLOOD, "--model", "builtin", "--json"],
        ["score", BLOOD, str(labels), "--model", "builtin", "--json"],
        ["export", "builtin", "--precision", "fp16", "--output", str(half)],
    ):
        run = _run(COMMAND, *arguments)
        assert run.returncode == 0, run.stderr
    assert half.is_file()


def test_the_other_commands_and_the_python_interface_load() -> None:
    code = """
import yoloscope
from yoloscope.app.cli import COMMANDS
from yoloscope.app.main import create_app
for name, command in COMMANDS.items():
    if name not in ("train", "search"):
        command.load()
create_app()
print(sorted(name for name in yoloscope.__all__ if getattr(yoloscope, name)) == sorted(yoloscope.__all__))
"""
    run = _run(code)
    assert run.stdout.strip() == "True", run.stderr

"""Two processes that talk by gloo do what one process does with the same mini-batches."""

import subprocess
import sys
from pathlib import Path

import torch

from tests.conftest import ROOT
from training.checkpoint import read_checkpoint


def train(data: Path, folder: Path, devices: int, accumulate: int) -> dict[str, torch.Tensor]:
    """The weights after four steps of four pictures."""
    module = "tests.training.fitting.two_ranks"
    command = [sys.executable, "-m", module, str(data), str(folder), str(devices), str(accumulate)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    state = read_checkpoint(folder / "last.ckpt")
    assert state["progress"]["step"] == 4
    assert len(state["progress"]["scores"]) == 2
    weights: dict[str, torch.Tensor] = state["network"]
    return weights


def test_two_processes_equal_one(shapes: Path, tmp_path: Path) -> None:
    one = train(shapes, tmp_path / "one", devices=1, accumulate=2)
    two = train(shapes, tmp_path / "two", devices=2, accumulate=1)
    learnt = [key for key in one if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    assert len(learnt) > 50
    for key in learnt:
        assert torch.allclose(two[key], one[key], rtol=1e-4, atol=1e-6), key

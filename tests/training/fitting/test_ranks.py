"""Two processes that talk by gloo do what one process does with the same mini-batches."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.training.fitting.two_ranks import train
from training.checkpoint import read_checkpoint


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights after four steps of four pictures."""
    state = read_checkpoint(folder / "last.ckpt")
    assert state["progress"]["step"] == 4
    assert len(state["progress"]["scores"]) == 2
    network: dict[str, torch.Tensor] = state["network"]
    return network


@pytest.mark.usefixtures("no_export")
def test_two_processes_equal_one(shapes: Path, tmp_path: Path) -> None:
    train(shapes, tmp_path / "one", devices=1, accumulate=2)
    command = [sys.executable, "-m", "tests.training.fitting.two_ranks", str(shapes), str(tmp_path / "two")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    learnt = [key for key in one if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    assert len(learnt) > 50
    for key in learnt:
        assert torch.allclose(two[key], one[key], rtol=1e-4, atol=1e-6), key

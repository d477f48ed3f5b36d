"""Two processes that talk by gloo do what one process does with the same mini-batches."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.training.runs import Configure
from tests.training.two_ranks import train_ranks
from yoloscope.training.checkpoint.files import read_checkpoint
from yoloscope.training.train import train


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights after four steps of four images."""
    state = read_checkpoint(folder / "last.ckpt")
    assert state["progress"]["step"] == 4
    assert len(state["progress"]["scores"]) == 2
    network: dict[str, torch.Tensor] = state["network"]
    return network


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("num_teachers", [0, 2])
def test_two_processes_equal_one(num_teachers: int, shapes: Path, configure: Configure, tmp_path: Path) -> None:
    teachers = [tmp_path / str(seed) for seed in range(num_teachers)]
    for seed, teacher in enumerate(teachers):
        train(configure(seed=seed), shapes, teacher)
    train_ranks(shapes, tmp_path / "one", devices=1, accumulate=2, teachers=teachers)
    run = call("-m", "tests.training.two_ranks", *map(str, (shapes, tmp_path / "two", *teachers)))
    assert run.returncode == 0, run.stderr[-2000:]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    learnt = [key for key in one if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    assert len(learnt) > 50
    for key in learnt:
        assert torch.allclose(two[key], one[key], rtol=1e-4, atol=1e-6), key


def test_a_bad_image_ends_both_with_one_line(own_shapes: Path, configure: Configure, tmp_path: Path) -> None:
    image = own_shapes / "images" / "train" / "3.jpg"
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    config = tmp_path / "quick.yaml"
    config.write_text(configure(epochs=2, batch_size=4).to_yaml())
    options = {"--data": own_shapes, "--config": config, "--output": tmp_path / "run", "--devices": 2}
    words = [str(word) for option in options.items() for word in option]
    run = call("-m", "yoloscope.app.cli", "train", "--accelerator", "cpu", *words)
    assert run.returncode == 1, run.stderr[-2000:]
    assert "Traceback" not in run.stderr, run.stderr[-2000:]
    assert run.stderr.count("set data.on_bad_image to skip to train without such images") == 1

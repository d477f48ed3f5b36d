"""A stopped run goes on as if nothing had happened."""

import os
import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch

from tests.training.runs import Configure
from yoloscope.models.errors import CheckpointError, ConfigError
from yoloscope.training.checkpoint.files import read_checkpoint
from yoloscope.training.config import TrainingConfig
from yoloscope.training.train import train

pytestmark = pytest.mark.usefixtures("no_export")


class Signal(lightning.Callback):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, number: int, step: int) -> None:
        self.number, self.step = number, step

    def on_train_batch_start(self, *arguments: Any) -> None:
        if arguments[-1] == self.step:
            os.kill(os.getpid(), self.number)


def everything_on(configure: Configure, workers: int) -> TrainingConfig:
    """Ten steps, two an epoch, with all that is random."""
    return configure(
        epochs=5,
        batch_size=4,
        accumulate=2,
        data={"workers": workers, "val": "val"},
        schedule={"kind": "cosine", "warmup_epochs": 1},
        augment={
            "mosaic": 0.5,
            "cutmix": 0.5,
            "mixup": 0.5,
            "flip_horizontal": 0.5,
            "color": {},
            "random_scale": [0.7, 1.4],
            "random_shapes": 1.6,
            "random_shapes_every": 1,
            "close_mosaic_fraction": 0.4,
        },
        freebies={"cross_mini_batch_norm": True, "self_adversarial": 0.5, "label_smoothing": 0.1},
    )


def same(a: Any, b: Any) -> bool:
    """Whether two checkpoints agree bit for bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def test_ten_steps_are_five_a_stop_and_five(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    whole = train(everything_on(configure, workers=0), shapes, tmp_path / "whole")
    config = everything_on(configure, workers=1)
    stopped = train(config, shapes, tmp_path / "parts", extra_callbacks=(Signal(signal.SIGTERM, 4),))
    assert (stopped.step, stopped.signal, stopped.artifact) == (5, signal.SIGTERM, None)
    resumed = train(config, shapes, tmp_path / "parts", resume=True)
    assert (whole.step, resumed.step, resumed.signal) == (10, 10, None)
    once, twice = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "parts"))
    assert once["progress"].pop("seconds") > 0
    assert twice["progress"].pop("seconds") > 0
    for key in ("spec", "progress", "network", "optimizer", "average"):
        assert same(once[key], twice[key]), key
    assert len(once["progress"]["scores"]) == 5


def test_a_resumed_run_differs_from_one_that_starts_its_optimizer_anew(
    shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    config = everything_on(configure, workers=0)
    train(config, shapes, tmp_path, extra_callbacks=(Signal(signal.SIGINT, 0),))
    state = read_checkpoint(tmp_path / "last.ckpt")
    assert state["progress"]["step"] == 1
    assert state["optimizer"]["state"]
    assert state["average"]["num_updates"] == 1


def test_handlers_of_signals_are_given_back(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    train(configure(), shapes, tmp_path)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_run_is_not_overwritten(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    train(configure(), shapes, tmp_path)
    with pytest.raises(
        ConfigError, match=r"holds a run already: continue it with yoloscope train --resume .* or choose"
    ):
        train(configure(), shapes, tmp_path)


def test_a_finished_run_is_only_exported_again(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    train(configure(), shapes, tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    result = train(configure(), shapes, tmp_path, resume=True)
    assert result.step == 1
    assert result.artifact == tmp_path / "model.onnx"
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_other_classes_cannot_resume(own_shapes: Path, configure: Configure, tmp_path: Path) -> None:
    train(configure(), own_shapes, tmp_path / "run")
    (own_shapes / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [square, ring]\n")
    with pytest.raises(CheckpointError, match="belongs to other data"):
        train(configure(), own_shapes, tmp_path / "run", resume=True)

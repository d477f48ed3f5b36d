"""A training that diverges or breaks off inside a step leaves a checkpoint that can be resumed exactly."""

from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch

from tests.training.runs import Configure
from yoloscope.models.errors import NonFiniteLossError
from yoloscope.training.checkpoint.files import read_checkpoint
from yoloscope.training.module import TrainingModule
from yoloscope.training.optim.ema import WeightAverage
from yoloscope.training.train import train

pytestmark = pytest.mark.usefixtures("no_export")


class SpoiledAfter(lightning.Callback):
    """Makes a weight infinite once that many steps are done."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_train_batch_start(self, _trainer: object, module: lightning.LightningModule, *_: object) -> None:
        assert isinstance(module, TrainingModule)
        if module.progress.step == self._steps:
            next(iter(module.network.parameters())).data.fill_(float("nan"))


def test_a_step_that_explodes_leaves_the_checkpoint_before_it(
    shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    schedule = {"kind": "steps", "warmup_epochs": 0, "milestones": [0.5], "gammas": [1e30]}
    exploding = configure(epochs=2, batch_size=3, optimizer={"grad_clip_norm": None}, schedule=schedule)
    with pytest.raises(NonFiniteLossError, match=r"last\.ckpt holds step 2, with finite weights: .* lower optimizer"):
        train(exploding, shapes, tmp_path)
    state = read_checkpoint(tmp_path / "last.ckpt")
    assert state["progress"]["step"] == 2
    assert all(value.isfinite().all() for value in state["network"].values())


def test_weights_that_are_not_finite_are_not_saved_at_the_end_of_an_epoch(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = WeightAverage.update

    def spoil(average: WeightAverage, network: torch.nn.Module) -> None:
        update(average, network)
        if average.num_updates == 2:
            next(iter(average.average.parameters())).data.fill_(float("inf"))

    monkeypatch.setattr(WeightAverage, "update", spoil)
    with pytest.raises(NonFiniteLossError, match=r"finite weights after step 2, got others in .*holds step 1"):
        train(configure(epochs=2), shapes, tmp_path)
    assert read_checkpoint(tmp_path / "last.ckpt")["progress"]["step"] == 1


def test_without_a_checkpoint_that_is_told(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match=r"no checkpoint was written before; lower optimizer\.lr"):
        train(configure(), shapes, tmp_path, extra_callbacks=(SpoiledAfter(0),))
    assert not (tmp_path / "last.ckpt").exists()


@pytest.mark.parametrize("place", ["yoloscope.training.module.finish_batch", "yoloscope.training.module.compute_loss"])
def test_a_part_of_a_step_is_not_saved(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    config = configure(epochs=2, batch_size=2)
    train(config, shapes, tmp_path / "whole")

    class Break(lightning.Callback):
        def on_train_batch_start(self, _trainer: object, module: lightning.LightningModule, *_: object) -> None:
            assert isinstance(module, TrainingModule)
            if module.progress.step == 4:
                monkeypatch.setattr(place, lambda *_, **__: pytest.fail("torn"))

    with monkeypatch.context(), pytest.raises(pytest.fail.Exception, match="torn"):
        train(config, shapes, tmp_path / "torn", extra_callbacks=(Break(),))
    monkeypatch.undo()
    monkeypatch.setattr("yoloscope.training.train.export_best", lambda *_: None)
    assert read_checkpoint(tmp_path / "torn" / "last.ckpt")["progress"]["step"] == 3
    assert train(config, shapes, tmp_path / "torn", resume=True).step == 6
    whole, torn = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "torn"))
    for part in ("network", "average"):
        values = whole[part]["average"] if part == "average" else whole[part]
        others = torn[part]["average"] if part == "average" else torn[part]
        assert all(torch.equal(values[key], others[key]) for key in values), part

"""A validation that the run was cut off in comes first when it goes on."""

from pathlib import Path

import pytest

from tests.training.runs import Configure, log_lines
from tests.training.test_train_resume import same
from yoloscope.training.callbacks.validation import Validation
from yoloscope.training.checkpoint.files import read_checkpoint
from yoloscope.training.config import TrainingConfig
from yoloscope.training.module import TrainingModule
from yoloscope.training.train import TrainResult, train

pytestmark = pytest.mark.usefixtures("no_export")


class CutOffError(Exception):
    """What ends the run in the middle of a validation."""


def run_cut_off_in(step: int, config: TrainingConfig, data: Path, folder: Path) -> tuple[TrainResult, list[str]]:
    """Return how a run ends that failed in the validation of a step and was resumed, and what it then told."""
    measure = Validation._measure

    def fail(self: Validation, module: TrainingModule) -> dict[str, float]:
        if module.progress.step == step:
            raise CutOffError
        return measure(self, module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validation, "_measure", fail)
        with pytest.raises(CutOffError):
            train(config, data, folder)
    with log_lines() as lines:
        return train(config, data, folder, resume=True), lines


@pytest.mark.parametrize("step", [2, 6])
def test_it_comes_first_and_nothing_else_differs(step: int, shapes: Path, configure: Configure, tmp_path: Path) -> None:
    config = configure(epochs=3, batch_size=4, data={"val": "val"})
    whole = train(config, shapes, tmp_path / "whole")
    resumed, told = run_cut_off_in(step, config, shapes, tmp_path / "parts")
    assert resumed == TrainResult(
        6, whole.best, tmp_path / "parts" / "last.ckpt", None, tmp_path / "parts" / "model.onnx", None
    )
    assert any(f"validation of step {step}, " in line for line in told)
    for name in ("last.ckpt", "best.ckpt"):
        once, twice = (read_checkpoint(tmp_path / run / name) for run in ("whole", "parts"))
        for state in (once, twice):
            state["progress"].pop("seconds")
        assert same(once, twice), name


def test_patience_lost_in_it_ends_the_run(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    config = configure(epochs=5, data={"val": "val"}, validation={"patience": 1}, optimizer={"lr": 1e-9}, ema=None)
    whole = train(config, shapes, tmp_path / "whole")
    resumed, _ = run_cut_off_in(2, config, shapes, tmp_path / "parts")
    assert whole.step == resumed.step == 2


def test_an_epoch_that_is_not_validated_is_not_caught_up_on(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    config = configure(epochs=3, data={"val": "val"}, validation={"every_epochs": 3})
    assert run_cut_off_in(3, config, shapes, tmp_path)[0].best is not None
    with log_lines() as told:
        train(config, shapes, tmp_path, resume=True)
    assert not any("validation of step" in line for line in told)
